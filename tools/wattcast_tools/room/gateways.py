"""The room's Modbus TCP servers: what a unit answers is worked out when it is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from wattcast_tools.room.httpd import HOST
from wattcast_tools.room.registers import PREFERRED_INLET, Image

FC3 = frozenset({3, 6, 16})  # Xerus: holding registers only
FC4 = frozenset({4})


@dataclass(frozen=True)
class Unit:
    """One Modbus unit.

    Attributes:
        functions: function codes it knows.
        image: its registers now.
        silent: whether it does not answer the gateway now.
        prefer: for a transfer switch, takes a written preferred inlet (1 or 2).
    """

    functions: frozenset[int]
    image: Callable[[], Image]
    silent: Callable[[], bool] = bool
    prefer: Callable[[int], None] | None = None


class Gateway:
    """A Modbus TCP server with its units; ``port`` is known after ``start``."""

    def __init__(self, units: dict[int, Unit]) -> None:
        self._devices = [_device(number, unit) for number, unit in units.items()]
        self._server: Any = None  # pymodbus leaves parts of its server without types
        self.port = 0

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; 0 takes a free port."""
        self._server = ModbusTcpServer(self._devices, address=(HOST, port))
        await self._server.serve_forever(background=True)
        self.port = int(self._server.transport.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        """Stop."""
        if self._server is not None:
            await self._server.shutdown()


def _device(number: int, unit: Unit) -> SimDevice:
    data = [SimData(at, values=words, datatype=DataType.REGISTERS) for at, words in unit.image()]
    return SimDevice(number, data, action=partial(_act, unit))


async def _act(
    unit: Unit, function: int, start: int, address: int, _count: int,
    registers: list[int], values: list[int] | list[bool] | None,
) -> ExcCodes | None:  # fmt: skip
    if function not in unit.functions:
        return ExcCodes.ILLEGAL_FUNCTION
    if unit.silent():
        return ExcCodes.GATEWAY_NO_RESPONSE
    if values is not None:
        return _write(unit, address, [int(v) for v in values])
    for at, words in unit.image():
        registers[at - start : at - start + len(words)] = words
    return None


def _write(unit: Unit, address: int, values: list[int]) -> ExcCodes | None:
    if unit.prefer is None or address != PREFERRED_INLET or len(values) != 1:
        return ExcCodes.ILLEGAL_ADDRESS
    if values[0] not in (1, 2):
        return ExcCodes.ILLEGAL_VALUE
    unit.prefer(values[0])
    return None
