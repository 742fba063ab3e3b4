"""A device that failed is left alone for a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from wattcast_agent.devices.backoff import Backoff
from wattcast_core.errors import DataError, Unreachable


class Patience:
    """Waits after failures, longer each time, and tells why meanwhile."""

    def __init__(self, key: str) -> None:
        self._backoff = Backoff(key)
        self._why = ""

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One try at the device.

        Raises:
            Unreachable: it is not to be asked again yet; or what the try itself raises.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0:
            raise Unreachable(f"{self._why}; next try in {wait_s:.1f} s")
        try:
            yield
        except (Unreachable, DataError) as error:
            self._why = str(error)
            self._backoff.failed(time.monotonic())
            raise
        self._backoff.succeeded()
