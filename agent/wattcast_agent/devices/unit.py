"""One Modbus unit: reads its profile's points in blocks, writes only its named commands."""

import asyncio
import time

from wattcast_agent.devices.allowed import named_value
from wattcast_agent.devices.backoff import Backoff
from wattcast_agent.devices.decode import Words
from wattcast_agent.devices.modbus import Gateway, Rejected
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import Refused, Unreachable
from wattcast_core.modbus import blocks
from wattcast_core.modbus.pdu import ILLEGAL_ADDRESS
from wattcast_core.modbus.registers import width

# Exceptions after which a write may yet be carried out: device failure, acknowledge (still busy).
_MAY_STILL_HAPPEN = frozenset({4, 5})

Block = tuple[int, int, int]  # function, address, registers


class ModbusUnit:
    """A device of the rack file behind its gateway.

    A block that the device refuses as an illegal address is split, first at its gaps, then into
    single points, and stays split while the device answers; a point refused by itself is missing,
    the rest goes on.

    Attributes:
        notes: what the last read found wrong without failing.
    """

    def __init__(self, device: Device, profile: Profile, gateway: Gateway) -> None:
        self.device = device
        self.profile = profile
        self.notes = ""
        self._gateway = gateway
        self._points: list[Block] = [
            (profile.function_of(p), p.address, width(p.type)) for p in profile.point
        ]
        transport = profile.transport
        self._plan = blocks.plan(self._points, transport.max_registers, transport.max_gap)
        self._blocks = list(self._plan)
        self._backoff = Backoff(device.id)

    async def read(self) -> Words:
        """All registers of the profile that the device gives.

        Raises:
            Unreachable: no answer, or not yet to be asked again.
            DataError: an answer that cannot be trusted.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0:
            raise Unreachable(f"did not answer; next try in {wait_s:.1f} s")
        words: dict[tuple[int, int], int] = {}
        self.notes = ""
        try:
            await self._read_all(tuple(self._blocks), words)
        except Unreachable:
            self._blocks = list(self._plan)  # what comes back may have other firmware
            self._backoff.failed(time.monotonic())
            raise
        self._backoff.succeeded()
        return words

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile.

        Raises:
            Refused: no such command or argument, not allowed here, or the device says no.
            Unreachable: no answer; whether it was written is unknown.
        """
        command, value = named_value(self.device, self.profile, name, argument)
        try:
            await self._gateway.write(self.device.unit, command.function, command.address, value)
        except Rejected as error:
            if error.code in _MAY_STILL_HAPPEN:
                raise Unreachable(
                    f"{self.device.id}: {name} {argument} may still happen: {error}"
                ) from error
            raise Refused(f"{self.device.id} refused {name} {argument}: {error}") from error

    def rest(self) -> None:
        """Give the connection back where the device serves one client only: others read it, too."""
        if self.profile.transport.single_client:
            self._gateway.close()

    async def _read_all(
        self, planned: tuple[Block, ...], words: dict[tuple[int, int], int]
    ) -> None:
        """Read the blocks; a device that sleeps loses the first request: it is sent again."""
        wake_real_s = self.profile.transport.wake_real_s
        for number, block in enumerate(planned):
            try:
                await self._read_block(block, words)
            except Unreachable:
                if number or not wake_real_s:
                    raise
                await asyncio.sleep(wake_real_s)
                await self._read_block(block, words)

    async def _read_block(self, block: Block, words: dict[tuple[int, int], int]) -> None:
        function, start, count = block
        try:
            registers = await self._gateway.read(self.device.unit, function, start, count)
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

    def _split(self, block: Block) -> list[Block]:
        function, start, count = block
        inside = sorted(
            p for p in self._points if p[0] == function and start <= p[1] < start + count
        )
        gapless = blocks.plan(inside, self.profile.transport.max_registers)
        return gapless if len(gapless) > 1 else inside
