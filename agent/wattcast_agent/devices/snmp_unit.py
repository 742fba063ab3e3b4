"""One SNMP device: reads its profile's points by name, writes only its named commands."""

import time
from collections.abc import Collection, Iterator, Sequence

from wattcast_agent.devices import plan, probe
from wattcast_agent.devices.allowed import Dwell, named, unmet
from wattcast_agent.devices.decode import Objects, Raw, decode
from wattcast_agent.devices.patience import Patience
from wattcast_agent.devices.snmp import SnmpPeer
from wattcast_configs.profile import Check, Command, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import DataError, ForeignDevice, Refused, Unreachable

_LOOK_AGAIN = 600  # polls after which new outlets and sensors are looked for
_SYSTEM = {"sysDescr": "1.3.6.1.2.1.1.1.0", "sysObjectID": "1.3.6.1.2.1.1.2.0"}


class SnmpUnit:
    """A device of the rack file.

    At start it is identified, counted, asked for its scales and for what it has at all; a slow
    device gets there over several polls. Every poll is then a few GETs of named objects. After a
    silence, and now and then, all that is done anew; until it is done the old view holds.

    Attributes:
        profile: what is read; without repeats.
        notes: what the last read found wrong without failing.
    """

    def __init__(self, device: Device, profile: Profile, peer: SnmpPeer) -> None:
        self.device = device
        self.profile = plan.spread(profile, {})
        self.notes = ""
        self._family = profile
        self._peer = peer
        self._patience = Patience(device.id)
        self._dwell = Dwell()
        self._forget()

    async def read(self) -> Objects:
        """All objects of the profile that the device has.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: it is another device, or its answer cannot be trusted.
        """
        with self._patience.attempt():
            try:
                await self._get_to_know()
                return await self._get(plan.keys_of(self.profile.point))
            except (Unreachable, DataError):
                self._forget()  # what comes back may be another device, or have other firmware
                raise

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile and read it back.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
            DataError: it said yes, but the value is not there; it may come or not.
        """
        command = named(self.device, self.profile, name, argument)
        if not (self._peer.secure or self.device.isolated):
            raise Refused(
                f"{self.device.id}: writing needs SNMPv3 with auth_key and priv_key, "
                "or isolated = true in the rack file"
            )
        try:
            await self._identify()
            await self._check_requirements(command, argument)
        except (Unreachable, DataError) as error:
            raise Refused(f"{self.device.id}: nothing was written: {error}") from error
        self._dwell.check(command, argument, time.monotonic())
        self._dwell.note(command, argument, time.monotonic())
        try:
            await self._peer.write(command, argument)
        except Refused as error:
            raise Refused(f"{self.device.id} refused {name} {argument}: {error}") from error
        oid = command.read_back or command.oid
        shown = (await self._peer.get([oid])).get(oid)
        if shown != command.raw(argument):
            raise DataError(f"{self.device.id} took {name} {argument}, but still shows {shown}")

    async def introduce(self) -> str:
        """What the device says of itself: sysDescr and sysObjectID."""
        system = await self._peer.get(list(_SYSTEM.values()))
        texts = {
            name: probe.plain(str(system[oid])) for name, oid in _SYSTEM.items() if oid in system
        }
        return ", ".join(f"{name} '{text}'" for name, text in texts.items() if text)

    async def look(self, _family: Profile, checks: Sequence[Check]) -> dict[Check, Raw | None]:
        """What the device shows where the checks of a family look."""
        first = await self._first([check.oid for check in checks])
        return {check: first.get(check.oid) for check in checks}

    def rest(self) -> None:
        """Nothing to give back: datagrams hold no connection."""

    def _forget(self) -> None:
        self._polls = 0
        self._identified = False
        self._tables: Collection[str] | None = None  # columns that have rows
        self._rows: dict[str, plan.Rows] = {}
        self._seen: dict[str, Raw] = {}
        self._asked: set[str] = set()

    async def _get_to_know(self) -> None:
        if self._polls:
            self._polls = (self._polls + 1) % _LOOK_AGAIN
            return
        await self._identify()
        await self._find_rows()
        spread = plan.spread(self._family, self._rows)
        await self._see(plan.units_of(spread))
        scaled = plan.scaled(spread, self._seen)
        wanted = plan.keys_of(scaled.point)
        await self._see(wanted)
        if self._seen.keys().isdisjoint(wanted):
            says = probe.introduced(await self.introduce())
            raise ForeignDevice(
                f"{self._peer.address} has no object of profile {self._family.name}{says};"
                " give another profile"
            )
        self.profile = plan.offered(scaled, self._seen)
        self._forget()
        self._identified, self._polls = True, 1

    async def _find_rows(self) -> None:
        """Rows of every table; one that the model lacks costs part of a question."""
        wanted, others = plan.columns(self._family), plan.stand_ins(self._family)
        if self._tables is None:
            asked = [*wanted, *(oid for oids in others.values() for oid in oids)]
            self._tables = (await self._first(asked)).keys()
        for column, most in wanted.items():
            if column not in self._rows:
                there = (o for o in (column, *others.get(column, ())) if o in self._tables)
                table = next(there, "")
                self._rows[column] = await self._peer.column(table, most) if table else {}

    async def _see(self, oids: Sequence[str]) -> None:
        """Ask for what was not asked for yet, so that a poll cut short goes on in the next."""
        for batch in self._batches([oid for oid in oids if oid not in self._asked]):
            self._seen |= await self._peer.get(batch)
            self._asked |= set(batch)

    async def _identify(self) -> None:
        if self._identified:
            return
        seen = await self.look(self._family, self._family.probe)
        fits = [probe.judge(check, raw) for check, raw in seen.items()]
        says = await self.introduce() if probe.Fit.CONTRADICTS in fits else ""
        probe.require(self._family, seen, self._peer.address, says)
        self._identified = True

    async def _check_requirements(self, command: Command, argument: str) -> None:
        if command.requires:
            await self._get_to_know()
            objects = await self._get(plan.keys_of(self.profile.point))
            problem = unmet(command, argument, decode(self.profile, objects))
            if problem:
                raise Refused(f"{self.device.id}: {command.name} {argument}: {problem}")

    async def _first(self, oids: Sequence[str]) -> dict[str, Raw]:
        first: dict[str, Raw] = {}
        for batch in self._batches(list(dict.fromkeys(oids))):
            first |= await self._peer.first(batch)
        return first

    async def _get(self, oids: Sequence[str]) -> dict[str, Raw]:
        objects: dict[str, Raw] = {}
        for batch in self._batches(oids):
            objects |= await self._peer.get(batch)
        return objects

    def _batches(self, oids: Sequence[str]) -> Iterator[Sequence[str]]:
        most = min(self._family.transport.max_oids, self._peer.most)
        for start in range(0, len(oids), most):
            yield oids[start : start + most]
