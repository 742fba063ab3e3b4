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

_LOOK_AGAIN = 600  # polls after which new outlets and sensors are looked for


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
        self.profile = snmp_plan.spread(profile, {})
        self.notes = ""
        self._family = profile
        self._peer = peer
        self._backoff = Backoff(device.id)
        self._why = ""
        self._forget()

    async def read(self) -> Objects:
        """All objects of the profile that the device has.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: it is another device, or its answer cannot be trusted.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0:
            raise Unreachable(f"{self._why}; next try in {wait_s:.1f} s")
        try:
            await self._get_to_know()
            objects = await self._get(snmp_plan.oids_of(self.profile))
        except (Unreachable, DataError) as error:
            self._forget()  # what comes back may be another device, or have other firmware
            self._why = str(error)
            self._backoff.failed(time.monotonic())
            raise
        self._backoff.succeeded()
        return objects

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile and read it back.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
            DataError: it said yes, but the value is not there; it may come or not.
        """
        command, value = named_value(self.device, self.profile, name, argument)
        if not (self._peer.secure or self.device.isolated):
            raise Refused(
                f"{self.device.id}: writing needs SNMPv3 with auth_key and priv_key, "
                "or isolated = true in the rack file"
            )
        try:
            await self._identify()
        except (Unreachable, DataError) as error:
            raise Refused(f"{self.device.id}: nothing was written: {error}") from error
        try:
            await self._peer.set(command.oid, value)
        except Refused as error:
            raise Refused(f"{self.device.id} refused {name} {argument}: {error}") from error
        oid = command.read_back or command.oid
        shown = (await self._peer.get([oid])).get(oid)
        if shown != value:
            raise DataError(f"{self.device.id} took {name} {argument}, but still shows {shown}")

    def rest(self) -> None:
        """Nothing to give back: datagrams hold no connection."""

    def _forget(self) -> None:
        self._polls = 0
        self._identified = False
        self._rows: dict[str, snmp_plan.Rows] = {}
        self._seen: dict[str, int | str] = {}
        self._asked: set[str] = set()

    async def _get_to_know(self) -> None:
        if self._polls:
            self._polls = (self._polls + 1) % _LOOK_AGAIN
            return
        await self._identify()
        for column, most in snmp_plan.tables(self._family).items():
            if column not in self._rows:
                self._rows[column] = await self._peer.column(column, most)
        spread = snmp_plan.spread(self._family, self._rows)
        await self._see(snmp_plan.units_of(spread))
        scaled = snmp_plan.scaled(spread, self._seen)
        await self._see(snmp_plan.oids_of(scaled))
        if not self._seen:
            raise DataError(f"{self._peer.address} has no object of profile {self._family.name}")
        self.profile = snmp_plan.offered(scaled, self._seen)
        self._forget()
        self._identified, self._polls = True, 1

    async def _see(self, oids: Sequence[str]) -> None:
        """Ask for what was not asked for yet, so that a poll cut short goes on in the next."""
        for batch in self._batches([oid for oid in oids if oid not in self._asked]):
            self._seen |= await self._peer.get(batch)
            self._asked |= set(batch)

    async def _identify(self) -> None:
        probe = self._family.probe
        if probe is None or self._identified:
            return
        shown = (await self._peer.get([probe.oid])).get(probe.oid)
        if shown is None or not str(shown).startswith(probe.begins):
            wanted = " or ".join(filter(None, probe.begins)) or "a value"
            raise DataError(
                f"{self._peer.address} does not fit profile {self._family.name}: {probe.oid} shows "
                f"{'nothing' if shown is None else shown}, not {wanted}; give another profile"
            )
        self._identified = True

    async def _get(self, oids: Sequence[str]) -> dict[str, int | str]:
        objects: dict[str, int | str] = {}
        for batch in self._batches(oids):
            objects |= await self._peer.get(batch)
        return objects

    def _batches(self, oids: Sequence[str]) -> Iterator[Sequence[str]]:
        most = min(self._family.transport.max_oids, self._peer.most)
        for start in range(0, len(oids), most):
            yield oids[start : start + most]
