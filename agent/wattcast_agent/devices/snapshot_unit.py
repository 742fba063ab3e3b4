"""One device whose readings come all together: a NUT server's, a Redfish service's, a BACnet one's.

What is read is data of the profile; what is written is only its named commands.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from wattcast_agent.devices import plan, probe
from wattcast_agent.devices.allowed import Dwell, named, unmet
from wattcast_agent.devices.decode import Objects, Raw, decode
from wattcast_agent.devices.patience import Patience
from wattcast_configs.profile import Check, Command, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import DataError, Refused, Unreachable

_READ_BACKS, _READ_BACK_REAL_S = 8, 0.25


class Peer(Protocol):
    """A device behind such a protocol.

    Attributes:
        address: its name for an operator.
        secure: true if requests are encrypted, to a peer that was authenticated.
        introduces: keys of what the device says of itself.
    """

    address: str
    secure: bool
    introduces: tuple[str, ...]

    async def snapshot(self, keys: Sequence[str]) -> Objects:
        """What these name, if not more; raises Unreachable or DataError."""

    async def write(self, command: Command, argument: str) -> None:
        """Write a named command once; raises Refused, Unreachable or DataError."""

    async def close(self) -> None:
        """End the connection and what it holds on the device."""


class SnapshotUnit:
    """A device of the rack file.

    Attributes:
        profile: what is read; without repeats.
        notes: what the last read found wrong without failing.
    """

    def __init__(self, device: Device, profile: Profile, peer: Peer) -> None:
        self.device = device
        self.profile = plan.spread(profile, {})
        self.notes = ""
        self._family = profile
        self._peer = peer
        self._keys = [*plan.places_of(profile), *peer.introduces]
        self._patience = Patience(device.id)
        self._dwell = Dwell()
        self._shape: frozenset[str] = frozenset()
        self._first: Objects = {}

    async def read(self) -> Objects:
        """All that the device gives.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: it is another device, or its answer cannot be trusted.
        """
        with self._patience.attempt():
            objects = await self._peer.snapshot(self._keys)
            if objects.keys() != self._shape:  # new, or with other outlets than before
                await self._get_to_know(objects)
        return objects

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile and read it back.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
            DataError: it said yes, but the value is not there; it may come or not.
        """
        if not (self._peer.secure or self.device.isolated):
            raise Refused(
                f"{self.device.id}: writing needs TLS with a certificate that is checked, or"
                " isolated = true in the rack file"
            )
        try:
            await self._get_to_know(await self._peer.snapshot(self._keys))
            command = named(self.device, self.profile, name, argument)
            objects = await self._peer.snapshot(self._keys)
        except (Unreachable, DataError) as error:
            raise Refused(f"{self.device.id}: nothing was written: {error}") from error
        problem = unmet(command, argument, decode(self.profile, objects))
        if problem:
            raise Refused(f"{self.device.id}: {name} {argument}: {problem}")
        self._dwell.check(command, argument, time.monotonic())
        self._dwell.note(command, argument, time.monotonic())
        try:
            await self._peer.write(command, argument)
        except Refused as error:
            raise Refused(f"{self.device.id} refused {name} {argument}: {error}") from error
        await self._read_back(command.key, command.raw(argument), f"{name} {argument}")

    async def introduce(self) -> str:
        """What the device says of itself."""
        if not self._first:
            self._first = await self._peer.snapshot(self._peer.introduces)
        return self._says(self._first)

    async def look(self, _family: Profile, checks: Sequence[Check]) -> dict[Check, Raw | None]:
        """What the device shows where the checks of a family look."""
        keys = [check.key for check in checks]
        if not self._first.keys() >= set(keys):
            seen = await self._peer.snapshot([*keys, *self._peer.introduces])
            self._first = {**self._first, **seen}
        return {check: self._first.get(check.key) for check in checks}

    def rest(self) -> None:
        """Nothing to give back: the connection serves nobody else."""

    async def _get_to_know(self, objects: Objects) -> None:
        seen = {check: objects.get(check.key) for check in self._family.probe}
        probe.require(self._family, seen, self._peer.address, self._says(objects))
        spread = plan.spread(self._family, plan.rows_in(self._family, objects))
        self.profile = plan.offered(spread, objects)
        self._shape = frozenset(objects)

    async def _read_back(self, key: str, value: Raw, what: str) -> None:
        shown = None
        for _ in range(_READ_BACKS):  # a driver between server and device passes it on in its time
            shown = (await self._peer.snapshot([key])).get(key)
            if _same(shown, value):
                return
            await asyncio.sleep(_READ_BACK_REAL_S)
        raise DataError(f"{self.device.id} took {what}, but still shows {shown}")

    def _says(self, objects: Objects) -> str:
        told = (str(objects[k]) for k in self._peer.introduces if objects.get(k))
        return probe.plain(" ".join(told))


def _same(shown: Raw | None, value: Raw) -> bool:
    """Whether it is that value; NUT gives a number the form it likes: 2, 2.00."""
    try:
        return shown is not None and float(shown) == float(value)
    except ValueError:
        return shown == value
