"""A rack of real Modbus servers: a transfer switch, meters on its inputs, and two cord meters."""

import asyncio
import struct
from functools import partial

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SWITCH, INPUT_A, INPUT_B, CORD_A, CORD_B = range(1, 6)
ACTIVE, PREFERRED = 0x2001, 0x2002


def f32(*values):
    return [word for v in values for word in struct.unpack(">2H", struct.pack(">f", v))]


def meter(power_w, volt=230.0):
    amp = power_w / volt if volt else 0.0
    hertz = 50.0 if volt else 0.0
    return {
        0x00: f32(volt, 0, 0, amp, 0, 0, power_w, 0, 0),
        0x34: f32(power_w),
        0x38: f32(power_w),
        0x3E: f32(1.0),
        0x46: f32(hertz, power_w / 10, 0),
    }


class RackDouble:
    """The switch follows its preference after a moment, and the currents follow the switch.

    ``obeys`` False: the preference is kept, and the switch stays where it is.
    """

    def __init__(self):
        self.writes, self.obeys = [], True
        self.port = 0
        self._later = set()
        self._load_w = 400.0

    async def start(self):
        units = {
            SWITCH: {0: [1, 2, 0, 0, 1], ACTIVE: [1, 1], 0x2008: f32(2.0)},
            INPUT_A: meter(self._load_w),
            INPUT_B: meter(0.0),
            CORD_A: meter(150.0),
            CORD_B: meter(130.0),
        }
        devices = [
            SimDevice(
                unit,
                [SimData(a, values=w, datatype=DataType.REGISTERS) for a, w in registers.items()],
                action=partial(self._act, unit),
            )
            for unit, registers in units.items()
        ]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", 0))
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]

    async def stop(self):
        for task in self._later:
            task.cancel()
        await self._server.shutdown()

    async def put(self, unit, registers):
        for address, words in registers.items():
            await self._server.async_setValues(unit, 16, address, words)

    async def _act(self, unit, function, _start, address, _count, _registers, values):
        if unit == SWITCH and function == 6 and values:  # the echo is read without values
            self.writes.append((address, values[0]))
            if not self.obeys:
                return
            task = asyncio.create_task(self._follow(values[0]))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _follow(self, source):
        await asyncio.sleep(0.2)
        await self.stand(source)

    async def stand(self, source):
        """The switch stands on this source, and all that is read of it says so."""
        await self.put(SWITCH, {ACTIVE: [source]})
        await self.put(INPUT_A, meter(self._load_w if source == 1 else 0.0))
        await self.put(INPUT_B, meter(self._load_w if source == 2 else 0.0))

    def toml(self, **agent):
        """A rack file; ``agent`` adds keys to [agent]."""
        lines = ["[agent]", 'id = "agent-1"', 'rack = "r1"', 'state_dir = "state"']
        lines += [f"{key} = {value}" for key, value in agent.items()]
        lines += [_server("s1", 2), self.switch()]
        for cord, unit in enumerate((CORD_A, CORD_B)):
            extra = f'server = "s1"\ncord = {cord}'
            lines.append(_device(f"cord-{cord}", "eastron_sdm630", self.port, unit, extra))
        lines.append('[[ats]]\nid = "ats-1"\nrating_a = 16.0\nhold_up_ms = 16.0\nreturn_s = 60.0\n')
        return "\n".join(lines)

    def switch(self):
        """The part of a rack file that has the switch and the meters on its inputs."""
        lines = [_device("ats-1", "raritan_xerus_ts", self.port, SWITCH, "")]
        roles = {INPUT_A: 'role = "source_a"', INPUT_B: 'role = "source_b"'}
        for unit, role in roles.items():
            extra = f'ats = "ats-1"\n{role}'
            lines.append(_device(f"in-{unit}", "eastron_sdm630", self.port, unit, extra))
        return "\n".join(lines)


def _server(name, cords):
    return f'[[server]]\nid = "{name}"\ncords = {cords}'


def _device(name, profile, port, unit, extra):
    return (
        f'[[device]]\nid = "{name}"\nprofile = "{profile}"\nhost = "127.0.0.1"\nport = {port}\n'
        f"unit = {unit}\nlab = true\n{extra}"
    )
