"""A Modbus TCP device of its own making, true or with one bad habit.

It is written against the specification, not with the library that reads it, so that the two can
disagree. What a fault makes up is POISON: a reader that believes it shows it.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from wattcast_core.modbus.frame import unwrap_tcp, wrap_tcp
from wattcast_core.modbus.pdu import ILLEGAL_ADDRESS, ModbusError

POISON = 0x4800  # as the high word of a f32: 131072; as a u16: 18432
WAKE_REAL_S = 2.0
_DRIP_REAL_S = 0.25  # a byte; a device's timeout is 0.5 s
_NAP_REAL_S = 5.0  # without a request it falls asleep
_READS, _ILLEGAL_FUNCTION = (3, 4), 1
_EACH = 4  # strays, wrong units and the like come at every fourth request

Registers = Callable[[], Mapping[int, int]]


@dataclass(slots=True)
class Turn:
    """One request and what the device would truly answer.

    Attributes:
        number: of the request on its connection.
    """

    device: "Device"
    writer: asyncio.StreamWriter
    transaction: int
    unit: int
    pdu: bytes
    true: bytes
    number: int

    def frame(
        self, pdu: bytes, *, transaction: int | None = None, unit: int | None = None
    ) -> bytes:
        """The PDU as an answer to this request, unless other ids are given."""
        return wrap_tcp(
            self.transaction if transaction is None else transaction,
            self.unit if unit is None else unit,
            pdu,
        )

    @property
    def poison(self) -> bytes:
        """A well-formed answer with made-up registers."""
        count = struct.unpack(">H", self.pdu[3:5])[0]
        return bytes([self.pdu[0], 2 * count]) + struct.pack(f">{count}H", *[POISON] * count)

    @property
    def odd(self) -> bool:
        """Whether it is the turn of a fault that does not come every time."""
        return self.device.answered % _EACH == 0

    def send(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.writer.write(data)


Habit = Callable[[Turn], Awaitable[None]]


async def none(turn: Turn) -> None:
    """Answer truly."""
    turn.send(turn.frame(turn.true))


async def silence(turn: Turn) -> None:
    """Take the connection and say nothing, for ever."""


async def late_transaction(turn: Turn) -> None:
    """Fall one answer behind and stay there until the connection is dropped (Telegraf #14317)."""
    behind, turn.device.behind = turn.device.behind, turn.frame(turn.poison)
    if turn.number > _EACH:
        turn.send(behind)
    else:
        await none(turn)


async def stray(turn: Turn) -> None:
    """Send an answer to nobody before the true one."""
    if turn.odd:
        turn.send(turn.frame(turn.poison, transaction=(turn.transaction + 7) & 0xFFFF))
    await none(turn)


async def wrong_unit(turn: Turn) -> None:
    """Answer for another unit."""
    if turn.odd:
        turn.send(turn.frame(turn.poison, unit=turn.unit + 1))
    else:
        await none(turn)


async def illegal_address(turn: Turn) -> None:
    """Refuse any read that touches one register, as a device of other firmware does."""
    start, count = struct.unpack(">HH", turn.pdu[1:5])
    if start <= turn.device.hole < start + count:
        turn.send(turn.frame(bytes([turn.pdu[0] | 0x80, ILLEGAL_ADDRESS])))
    else:
        await none(turn)


async def half_frame(turn: Turn) -> None:
    """Stop in the middle of an answer."""
    frame = turn.frame(turn.true)
    turn.send(frame[: len(frame) // 2] if turn.odd else frame)


async def reset(turn: Turn) -> None:
    """Reset the connection in place of an answer."""
    if turn.odd:
        sock = turn.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        turn.writer.transport.abort()
    else:
        await none(turn)


async def wake_up(turn: Turn) -> None:
    """Lose what comes while asleep and for two seconds after (Telegraf #11919)."""
    now = monotonic()
    if now - turn.device.last > _NAP_REAL_S:
        turn.device.awake = now + WAKE_REAL_S
    turn.device.last = now
    if now >= turn.device.awake:
        await none(turn)


async def slow_drip(turn: Turn) -> None:
    """Send an answer byte by byte, each in good time."""
    for byte in turn.frame(turn.true):
        turn.send(bytes([byte]))
        await turn.writer.drain()
        await asyncio.sleep(_DRIP_REAL_S)


async def garbage(turn: Turn) -> None:
    """Send bytes that are no Modbus: the banner of some other service."""
    if turn.odd:
        turn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + turn.true)
    else:
        await none(turn)


async def too_short(turn: Turn) -> None:
    """Answer with fewer registers than asked for."""
    turn.send(turn.frame(bytes([turn.pdu[0], 2]) + struct.pack(">H", POISON)))


async def busy(turn: Turn) -> None:
    """Answer exception 6, device busy, now and then."""
    turn.send(turn.frame(bytes([turn.pdu[0] | 0x80, 6]) if turn.odd else turn.true))


HABITS: dict[str, Habit] = {
    habit.__name__: habit
    for habit in (
        *(silence, late_transaction, stray, wrong_unit, illegal_address, half_frame, reset),
        *(wake_up, slow_drip, garbage, too_short, busy),
    )
}
ONE_CLIENT = "one_client"
FAULTS = (*HABITS, ONE_CLIENT)


@dataclass(eq=False)
class Device:
    """A device on loopback.

    Attributes:
        registers: what it truly holds, now: address -> word, holding and input registers alike.
        fault: name of its habit; empty = none. ``one_client`` refuses a second connection.
        hole: the register that ``illegal_address`` refuses.
        asked: monotonic time of each request that was understood.
        connections: how many were made.
    """

    registers: Registers
    fault: str = ""
    hole: int = 0
    port: int = 0
    asked: list[float] = field(default_factory=list)
    connections: int = 0
    behind: bytes = b""
    last: float = -1e9
    awake: float = 0.0
    answered: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> "Device":
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._open):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.fault == ONE_CLIENT and self._open:
            writer.close()
            return
        self._open.add(writer)
        habit, number, data = HABITS.get(self.fault, none), 0, b""
        try:
            while chunk := await reader.read(260):
                data += chunk
                while (frame := unwrap_tcp(data)) is not None:
                    data, number = data[frame[3] :], number + 1
                    self.answered += 1
                    turn = self._turn(writer, frame, number)
                    await (habit if turn.pdu[0] in _READS else none)(turn)
        except (OSError, ModbusError):
            pass  # the reader went away, or is as odd as this device
        finally:
            self._open.discard(writer)
            writer.close()

    def _turn(
        self, writer: asyncio.StreamWriter, frame: tuple[int, int, bytes, int], number: int
    ) -> Turn:
        self.asked.append(monotonic())
        transaction, unit, pdu, _ = frame
        return Turn(self, writer, transaction, unit, pdu, self._truth(pdu), number)

    def _truth(self, pdu: bytes) -> bytes:
        if pdu[0] not in _READS or len(pdu) != 5:
            return bytes([pdu[0] | 0x80, _ILLEGAL_FUNCTION])
        start, count = struct.unpack(">HH", pdu[1:5])
        held = self.registers()
        words = [held.get(address) for address in range(start, start + count)]
        if None in words:
            return bytes([pdu[0] | 0x80, ILLEGAL_ADDRESS])
        return bytes([pdu[0], 2 * count]) + struct.pack(f">{count}H", *words)
