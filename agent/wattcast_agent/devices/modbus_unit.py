"""One Modbus unit: reads its profile's points in blocks, writes only its named commands."""

import asyncio
import time
from collections.abc import Sequence

from wattcast_agent.devices import plan, probe
from wattcast_agent.devices.allowed import Dwell, named, unmet
from wattcast_agent.devices.decode import Raw, Words, decode, raw_of
from wattcast_agent.devices.modbus import Gateway, Rejected
from wattcast_agent.devices.patience import Patience
from wattcast_configs.command import RegisterWrite
from wattcast_configs.place import Place
from wattcast_configs.profile import Check, Command, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import DataError, Refused, Unreachable
from wattcast_core.modbus import blocks
from wattcast_core.modbus.pdu import ILLEGAL_ADDRESS
from wattcast_core.modbus.registers import width

# Exceptions after which a write may yet be carried out: device failure, acknowledge (still busy).
_MAY_STILL_HAPPEN = frozenset({4, 5})
_NOT_THERE = (1, 2, 3)  # illegal function, address or value: the device has no such register
_AWAY = 3  # failures in a row after which another device, or other firmware, may come back
_LOOK_AGAIN = 600  # polls after which the device is identified and counted anew

Block = tuple[int, int, int]  # function, address, registers


class ModbusUnit:
    """A device of the rack file behind its gateway.

    At start it is identified and counted. A block that it refuses as an illegal address is split,
    first at its gaps, then into single points, and stays split while the device answers; a point
    refused by itself is missing, the rest goes on.

    Attributes:
        profile: what is read; without repeats.
        notes: what the last read found wrong without failing.
    """

    def __init__(self, device: Device, profile: Profile, gateway: Gateway) -> None:
        self.device = device
        self.profile = plan.spread(profile, {})
        self.notes = ""
        self._family = profile
        self._gateway = gateway
        self._unit = device.where.device_id
        self._patience = Patience(device.id)
        self._dwell = Dwell()
        self._blocks: list[Block] = []
        self._polls = self._failures = 0
        self._asleep = False

    async def read(self) -> Words:
        """All registers of the profile that the device gives.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: it is another device, or its answer cannot be trusted.
        """
        with self._patience.attempt():
            self._asleep = self._family.transport.wake_real_s > 0
            try:
                words = await self._read_all()
            except (Unreachable, DataError):
                self._failures += 1
                if self._failures >= _AWAY:
                    self._polls = 0
                raise
        self._failures = 0
        return words

    def rest(self) -> None:
        """Give the connection back where the device serves one client only: others read it, too."""
        if self._family.transport.single_client:
            self._gateway.close()

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
        """
        command = named(self.device, self.profile, name, argument)
        try:
            await self._identify()
            await self._check_requirements(command, argument)
        except (Unreachable, DataError) as error:
            raise Refused(f"{self.device.id}: nothing was written: {error}") from error
        what = f"{name} {argument}"
        self._dwell.check(command, argument, time.monotonic())
        self._dwell.note(command, argument, time.monotonic())
        try:
            for order in command.registers(argument):
                await self._write(order, what)
        finally:
            await self._restore(command)

    async def introduce(self) -> str:
        """What the device says of itself."""
        return probe.plain(await self._gateway.introduce(self._unit))

    async def look(self, family: Profile, checks: Sequence[Check]) -> dict[Check, Raw | None]:
        """What the device shows where the checks of a family look."""
        return {check: await self._show(family, check) for check in checks}

    async def _read_all(self) -> Words:
        if not self._polls:
            await self._get_to_know()
        self._polls = (self._polls + 1) % _LOOK_AGAIN
        self.notes = ""
        words: dict[tuple[int, int], int] = {}
        for block in tuple(self._blocks):
            await self._read_block(block, words)
        return words

    async def _get_to_know(self) -> None:
        await self._identify()
        rows = {r.name: await self._count(r.count_at, r.most) for r in self._family.repeat}
        self.profile = plan.spread(self._family, rows)
        transport = self.profile.transport
        self._blocks = blocks.plan(self._points(), transport.max_registers, transport.max_gap)

    async def _identify(self) -> None:
        seen = await self.look(self._family, self._family.probe)
        where = f"{self._gateway.address} unit {self._unit}"
        fits = [probe.judge(check, raw) for check, raw in seen.items()]
        says = await self.introduce() if probe.Fit.CONTRADICTS in fits else ""
        probe.require(self._family, seen, where, says)

    async def _count(self, address: int, most: int) -> plan.Rows:
        raw = await self._show(self._family, Check(address=address, type="u16", function=3))
        count = min(int(raw), most) if isinstance(raw, int) else 0
        return {str(row): row for row in range(1, count + 1)}

    async def _show(self, family: Profile, place: Place) -> Raw | None:
        function = place.function or family.transport.function
        try:
            registers = await self._get(int(function), place.address, width(place.type))
        except Rejected as error:
            if error.code not in _NOT_THERE:
                raise
            return None
        words = {(int(function), place.address + i): word for i, word in enumerate(registers)}
        return raw_of(family, place, words)

    async def _get(self, function: int, address: int, count: int) -> list[int]:
        """Registers; a device that sleeps loses the first request of a sweep: it is sent again."""
        asleep, self._asleep = self._asleep, False
        try:
            return await self._gateway.read(self._unit, function, address, count)
        except Unreachable:
            if not asleep:
                raise
        await asyncio.sleep(self._family.transport.wake_real_s)
        return await self._gateway.read(self._unit, function, address, count)

    async def _check_requirements(self, command: Command, argument: str) -> None:
        if command.requires:
            await self._get_to_know()
            readings = decode(self.profile, await self._read_all())
            problem = unmet(command, argument, readings)
            if problem:
                raise Refused(f"{self.device.id}: {command.name} {argument}: {problem}")

    async def _write(self, order: RegisterWrite, what: str) -> None:
        try:
            await self._gateway.write(self._unit, order)
        except Rejected as error:
            if error.code in _MAY_STILL_HAPPEN:
                raise Unreachable(f"{self.device.id}: {what} may still happen: {error}") from error
            raise Refused(f"{self.device.id} refused {what}: {error}") from error

    async def _restore(self, command: Command) -> None:
        for order in command.restores():
            try:
                await self._gateway.write(self._unit, order)
            except (Unreachable, DataError) as error:
                raise Unreachable(
                    f"{self.device.id}: register {order.address} could not be put back to"
                    f" {order.value}; put it back by hand, or the switch stays out of automatic"
                    f" mode: {error}"
                ) from error

    async def _read_block(self, block: Block, words: dict[tuple[int, int], int]) -> None:
        function, start, count = block
        try:
            registers = await self._get(function, start, count)
        except Rejected as error:
            if error.code != ILLEGAL_ADDRESS:
                raise
            await self._read_finer(block, words)
        else:
            words.update({(function, start + i): word for i, word in enumerate(registers)})
        if self.profile.transport.pause_real_s:
            await asyncio.sleep(self.profile.transport.pause_real_s)

    async def _read_finer(self, block: Block, words: dict[tuple[int, int], int]) -> None:
        finer = self._split(block)
        if finer == [block]:
            self.notes = f"refuses register {block[1]:#06x} (function {block[0]}); wrong profile?"
            return
        at = self._blocks.index(block)
        self._blocks[at : at + 1] = finer
        for part in finer:
            await self._read_block(part, words)

    def _points(self) -> list[Block]:
        return [(self.profile.function_of(p), p.address, width(p.type)) for p in self.profile.point]

    def _split(self, block: Block) -> list[Block]:
        function, start, count = block
        inside = sorted(
            p for p in self._points() if p[0] == function and start <= p[1] < start + count
        )
        gapless = blocks.plan(inside, self.profile.transport.max_registers)
        return gapless if len(gapless) > 1 else inside
