"""The decision core's state in etcd, so that the next leader resumes where the last one stopped."""

import json
from collections.abc import Mapping
from typing import Any

from wattcast_coordinator.coord.election import Leadership
from wattcast_core.errors import DataError


class StateKeeper:
    """Saves and loads one JSON object under a term's fencing token.

    Args:
        name: the power domain.
    """

    def __init__(self, leadership: Leadership, name: str) -> None:
        self._leadership = leadership
        self._key = f"/wattcast/state/{name}"

    async def save(self, state: Mapping[str, Any]) -> None:
        """Replace the state (Deposed if this term is over). etcd takes up to 1.5 MB."""
        await self._leadership.put({self._key: json.dumps(state)})

    async def load(self) -> dict[str, Any] | None:
        """The last saved state; None if there is none.

        Raises:
            DataError: the key holds something else.
        """
        kept = await self._leadership.etcd.get(self._key)
        if kept is None:
            return None
        try:
            return dict(json.loads(kept.value))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"etcd key {self._key} is no saved state ({error}); remedy: etcdctl del {self._key}"
            ) from error
