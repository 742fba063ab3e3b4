"""What every transfer switch in tests needs: meters on its inputs, an agent, an order."""

import asyncio
import struct
import time

from wattcast_core.commands import AtsCommand
from wattcast_tools.faults import modbus


class Meters:
    """The meters on the two inputs of a switch.

    Attributes:
        volts: of input 1 and 2.
        load_w: behind the switch; it flows through the active input.
    """

    def __init__(self, active, load_w=400.0):
        """``active()`` is the number of the active input."""
        self._active = active
        self.volts, self.load_w = {1: 230.0, 2: 230.0}, load_w
        self._meters = [modbus.Device(lambda n=n: self._words(n)) for n in (1, 2)]

    async def start(self):
        for meter in self._meters:
            await meter.start()

    async def stop(self):
        for meter in self._meters:
            await meter.stop()

    def devices(self):
        """Their part of a rack file."""
        return "\n".join(
            f'[[device]]\nid = "in-{side}"\nprofile = "eastron_sdm630"\nhost = "127.0.0.1"\n'
            f'port = {meter.port}\nats = "ats-1"\nrole = "source_{side}"'
            for side, meter in zip("ab", self._meters, strict=True)
        )

    def _words(self, number):
        power_w = self.load_w if self._active() == number else 0.0
        volt = self.volts[number]
        values = {0: volt, 6: power_w / volt if volt else 0.0, 0x0C: power_w, 0x34: power_w}
        values |= {0x38: power_w, 0x3E: 1.0, 0x46: 50.0 if volt else 0.0, 0x48: 1.0}
        words = dict.fromkeys(range(0x4C), 0)
        for address, value in values.items():
            words |= dict(enumerate(struct.unpack(">2H", struct.pack(">f", value)), address))
        return words


async def ask(coordinator, number, to="B", lasts_s=6.0):
    """Order a transfer and await its result."""
    other = "A" if to == "B" else "B"
    command = AtsCommand(f"c{number}", 5, time.time() + lasts_s, "ats-1", other, to)
    coordinator.command(command)
    await coordinator.until(lambda: any(r.id == command.id for r in coordinator.results), 20)
    return next(r for r in coordinator.results if r.id == command.id)


class Bench:
    """An agent in this process, on a rack file made of a switch's devices."""

    SPEED = 60.0  # the return delay of 60 data seconds is a second

    def __init__(self, folder, coordinator, devices, began, **ats):
        self.path = folder / "rack.toml"
        limits = {"hold_up_ms": 16.0, "deadline_real_s": 1.0, "dwell_s": 0.0, "max_per_hour": 99}
        limits |= {"ups_a": "none", "ups_b": "none", "tested": ["MN:AP4423 v6.9.6"]} | ats
        lines = "\n".join(f"{key} = {_toml(value)}" for key, value in limits.items())
        self.path.write_text(
            '[agent]\nid = "agent-1"\nrack = "r1"\nstate_dir = "state"\npoll_real_s = 0.2\n'
            'supplies = ["feed-a", "feed-b"]\n'
            f"{devices}\n"
            f'[[ats]]\nid = "ats-1"\nrating_a = 16.0\n{lines}\n'
            '[[server]]\nid = "s1"\n'
            f"[clock]\nsegments = [[{began}, 1_700_000_000.0, {self.SPEED}]]\n"
        )
        self.coordinator = coordinator
        self._task = None

    async def start(self):
        from wattcast_agent.run.serve import _serve
        from wattcast_configs.files import load_rack

        rack, base = load_rack(self.path), self.path.parent
        self._task = asyncio.create_task(_serve(rack, base, self.coordinator.address))
        await self.coordinator.until(lambda: self.coordinator.hellos)
        return self

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _toml(value):
    return str(value) if isinstance(value, (int, float)) else repr(value).replace("'", '"')
