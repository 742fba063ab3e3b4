"""Devices that answer, but with the same registers for ever. Pure."""

from collections.abc import Iterable

from wattcast_agent.devices.decode import Objects, Words


class Freeze:
    """Counts how often in a row a device sent the same registers."""

    def __init__(self) -> None:
        self._last: dict[str, Words | Objects] = {}
        self._repeats: dict[str, int] = {}

    def observe(self, device: str, words: Words | Objects) -> None:
        """Note one poll."""
        same = self._last.get(device) == words
        self._repeats[device] = self._repeats.get(device, 0) + 1 if same else 0
        self._last[device] = words

    def stuck(self, device: str, after: int, siblings: Iterable[str]) -> bool:
        """True if the device stood still for more than ``after`` polls (0 = never).

        While all siblings stand still too, the load does, not the meter.
        """
        others = [self._repeats.get(s, 0) for s in siblings if s != device]
        moving = not others or min(others) <= after
        return after > 0 and self._repeats.get(device, 0) > after and moving
