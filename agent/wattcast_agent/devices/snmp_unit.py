"""One SNMP device: reads its profile's points by name, writes only its named commands."""

import time
from collections.abc import Iterator, Sequence

from wattcast_agent.devices import snmp_plan
from wattcast_agent.devices.allowed import named_value
from wattcast_agent.devices.backoff import Backoff
from wattcast_agent.devices.decode import Objects
from wattcast_agent.devices.snmp import SnmpPeer
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import DataError, Refused, Unreachable

_ASK_AGAIN = 60  # polls after which an object the device lacked is asked for once more


class SnmpUnit:
    """A device of the rack file.

    It is identified, counted and asked for its scales once, a step a request, so that a slow device
    gets there over several polls; after a silence that is done anew. Then every poll is a few GETs
    of named objects.

    Attributes:
        profile: what is read: without repeats once the device is known.
        notes: what the last read found wrong without failing.
    """

    def __init__(self, device: Device, profile: Profile, peer: SnmpPeer) -> None:
        self.device = device
        self.notes = ""
        self._family = profile
        self._peer = peer
        self._backoff = Backoff(device.id)
        self._lost = False
        self._forget()

    async def read(self) -> Objects:
        """All objects of the profile that the device has.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: it is another device, or its answer cannot be trusted.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0:
            raise Unreachable(f"{self.notes or 'did not answer'}; next try in {wait_s:.1f} s")
        if self._lost:
            self._forget()
        try:
            await self._get_to_know()
            objects = await self._get(self._wanted())
        except (Unreachable, DataError) as error:
            self._lost = True  # what comes back may be another device, or have other firmware
            self.notes = str(error)
            self._backoff.failed(time.monotonic())
            raise
        self._backoff.succeeded()
        self._note(objects)
        return objects

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile and read it back.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
        """
        command, value = named_value(self.device, self.profile, name, argument)
        if not (self._peer.secure or self.device.isolated):
            raise Refused(
                f"{self.device.id}: writing needs SNMPv3 with auth_key and priv_key, "
                "or isolated = true in the rack file"
            )
        await self._identify()
        try:
            await self._peer.set(command.oid, value)
        except Refused as error:
            raise Refused(f"{self.device.id} refused {name} {argument}: {error}") from error
        oid = command.read_back or command.oid
        shown = (await self._peer.get([oid])).get(oid)
        if shown != value:
            raise Refused(f"{self.device.id} took {name} {argument}, but still shows {shown}")

    def _forget(self) -> None:
        self.profile = snmp_plan.spread(self._family, {})
        self._lost = False
        self._known = self._identified = False
        self._rows: dict[str, snmp_plan.Rows] = {}
        self._units: dict[str, int | str] = {}
        self._asked: set[str] = set()
        self._absent: set[str] = set()
        self._polls = 0

    async def _get_to_know(self) -> None:
        if self._known:
            return
        await self._identify()
        for column, most in snmp_plan.tables(self._family).items():
            if column not in self._rows:
                self._rows[column] = await self._peer.column(column, most)
        spread = snmp_plan.spread(self._family, self._rows)
        units = [oid for oid in snmp_plan.units_of(spread) if oid not in self._asked]
        for batch in self._batches(units):
            self._units |= await self._peer.get(batch)
            self._asked |= set(batch)
        self.profile = snmp_plan.scaled(spread, self._units)
        self._known = True

    async def _identify(self) -> None:
        probe = self._family.probe
        if probe is None or self._identified:
            return
        shown = (await self._peer.get([probe.oid])).get(probe.oid, "nothing")
        if not str(shown).startswith(probe.begins):
            raise DataError(
                f"{self._peer.address} is no {self._family.vendor} device of profile "
                f"{self._family.name}: {probe.oid} shows '{shown}', not {' or '.join(probe.begins)}"
                "; give another profile"
            )
        self._identified = True

    def _wanted(self) -> list[str]:
        self._polls += 1
        if self._polls % _ASK_AGAIN == 0:
            self._absent.clear()
        oids = dict.fromkeys(p.oid for p in self.profile.point)
        return [oid for oid in oids if oid not in self._absent and oid != snmp_plan.NOWHERE]

    async def _get(self, oids: Sequence[str]) -> dict[str, int | str]:
        objects: dict[str, int | str] = {}
        for batch in self._batches(oids):
            objects |= await self._peer.get(batch)
        self._absent |= set(oids) - set(objects)
        return objects

    def _batches(self, oids: Sequence[str]) -> Iterator[Sequence[str]]:
        most = self._family.transport.max_oids
        for start in range(0, len(oids), most):
            yield oids[start : start + most]

    def _note(self, objects: Objects) -> None:
        if not objects:
            raise DataError(f"{self._peer.address} has no object of profile {self._family.name}")
        lacking = [p.quantity for p in self.profile.point if p.oid not in objects]
        more = f" and {len(lacking) - 4} more" if len(lacking) > 4 else ""
        self.notes = f"does not give {', '.join(lacking[:4])}{more}" if lacking else ""
