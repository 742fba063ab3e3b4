"""Real peers on loopback: Modbus TCP servers, one that misbehaves, and a metrics endpoint."""

import asyncio
import struct
import warnings
from dataclasses import replace
from functools import partial

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Agent, Device, Host, Rack
from wattcast_core.modbus.frame import unwrap_tcp, wrap_tcp

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pysnmp uses old names of pysmi, if there
    import pysnmp.hlapi.v3arch.asyncio  # noqa: F401 - so that later imports warn no more


def f32(*values):
    return [word for v in values for word in struct.unpack(">2H", struct.pack(">f", v))]


def sdm630(power_w=280.0, volt=230.5, *, hole=False):
    """Registers of one SDM630 cord; ``hole``: reserved registers are not answered at all."""
    amp = power_w / volt
    defined = {
        0x00: f32(volt, 0, 0, amp, 0, 0, power_w, 0, 0),
        0x34: f32(power_w),
        0x38: f32(power_w),
        0x3E: f32(1.0),
        0x46: f32(50.0, 12.5, 0),
    }
    if not hole:
        defined |= {0x36: [0, 0], 0x3A: [0] * 4, 0x40: [0] * 6}
    return defined


XERUS_PDU = {
    0: [1, 1, 0, 0, 0],
    0x3008: f32(230.5, 5.0),
    0x3012: f32(1150, 1152.5, 0.99),
    0x3022: f32(50.0),
}
XERUS_TS = {0: [1, 2, 0, 0, 1], 0x2001: [1, 1], 0x2008: f32(2.0)}
XY_MD02 = {0x0001: [246, 512]}


class Box:
    """A gateway with units; counts requests and can be told to misbehave.

    ``faults[unit]``, or ``faults[unit, function]``, is ``silent`` or an exception code.
    """

    def __init__(self, units):
        self.units = units
        self.requests, self.writes = [], []
        self.faults = {}
        self.port = 0

    async def start(self):
        devices = [
            SimDevice(
                unit,
                [SimData(a, values=w, datatype=DataType.REGISTERS) for a, w in registers.items()],
                action=partial(self._act, unit),
            )
            for unit, registers in self.units.items()
        ]
        self.server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        await self.server.serve_forever(background=True)
        self.port = self.server.transport.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        await self.server.shutdown()

    async def put(self, unit, address, words):
        await self.server.async_setValues(unit, 16, address, words)

    async def get(self, unit, address):
        return (await self.server.async_getValues(unit, 3, address, 1))[0]

    async def _act(self, unit, function, _start, address, count, _registers, values):
        if function == 6 and values:  # the echo is read without values
            self.writes.append((address, values[0]))
        if function != 16:
            self.requests.append((unit, function, address, count))
        fault = self.faults.get((unit, function), self.faults.get(unit))
        if fault == "silent":
            await asyncio.sleep(0.5)
        return ExcCodes(fault) if isinstance(fault, int) else None


class RawBox:
    """Answers each request with the bytes ``reply(transaction, unit, pdu)`` returns."""

    def __init__(self, reply):
        self.reply = reply
        self.connections = 0
        self._writers = []

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        self.server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.01)  # lets the transports finish closing

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        while request := await reader.read(260):
            transaction, unit, pdu, _ = unwrap_tcp(request)
            answer = self.reply(transaction, unit, pdu)
            if answer is None:
                break
            writer.write(answer)
        writer.close()


def zeros(transaction, unit, pdu, *, registers=None):
    """A true answer: as many zeros as asked for."""
    count = struct.unpack(">H", pdu[3:5])[0] if registers is None else registers
    return wrap_tcp(transaction, unit, bytes([pdu[0], 2 * count]) + bytes(2 * count))


def rack_of(*devices, servers=()):
    return Rack(
        agent=Agent(id="agent-1", rack="r1", state_dir="unused"),
        device=tuple(devices),
        server=tuple(Host(id=name, node_exporter=url) for name, url in servers),
    )


@pytest.fixture(scope="session")
def profiles():
    """As shipped, but the tests need not wait long for a silent device."""
    return {
        name: replace(p, transport=replace(p.transport, timeout_real_s=0.3))
        for name, p in load_profiles(protocol="modbus").items()
    }


@pytest.fixture
async def start():
    """Starts a box and stops it after the test."""
    started = []

    async def _start(box):
        started.append(await box.start())
        return box

    yield _start
    for box in started:
        await box.stop()


@pytest.fixture
def bench():
    """The helpers of this file, for tests (importlib mode imports no siblings)."""

    class Bench:
        f32 = staticmethod(f32)
        sdm630 = staticmethod(sdm630)
        zeros = staticmethod(zeros)
        wrap = staticmethod(wrap_tcp)
        rack_of = staticmethod(rack_of)
        Box, RawBox, Device = Box, RawBox, Device
        XERUS_PDU, XERUS_TS, XY_MD02 = XERUS_PDU, XERUS_TS, XY_MD02

    return Bench
