"""An APC AP44xx over SNMP whose active source follows, and the meters on its inputs."""

import asyncio
import struct

from wattcast_configs.profiles import BUILT_IN
from wattcast_tools.faults import modbus, snmp

ATS = "1.3.6.1.4.1.318.1.1.8"
PREFERRED, ACTIVE = f"{ATS}.4.2.0", f"{ATS}.5.1.2.0"
IDENTITY = "APC Web/SNMP Management Card (MN:AP4423 PF:v6.9.6)"
GOOD = {1: 2, 2: 1, 3: 2, 4: 2, 6: 2, 7: 2, 10: 2, 11: 2, 12: 2, 13: 2, 14: 1, 16: 2}


def status(number):
    return f"{ATS}.5.1.{number}.0"


class Ap44xx:
    """The tables of PowerNet-MIB as one unit serves them.

    ``obeys`` False makes it a mere write cache, as snmpsim is: the preferred source is kept, the
    active one stays. ``returns`` sends it back after so many seconds.
    """

    def __init__(self, load_w=400.0):
        self.objects = {status(n): value for n, value in GOOD.items()}
        self.objects |= {
            PREFERRED: 1,
            f"{ATS}.1.5.0": "AP4423",
            "1.3.6.1.2.1.1.1.0": IDENTITY,
            "1.3.6.1.2.1.1.2.0": "1.3.6.1.4.1.318.1.3.32.1",
        }
        self.volts = {1: 230.0, 2: 230.0}
        self.load_w, self.obeys, self.returns_s = load_w, True, 0.0
        self.writes = []
        self.agent = snmp.Agent(lambda: self.objects, self._write)
        self.meters = [modbus.Device(lambda n=n: self._meter(n)) for n in (1, 2)]
        self._later = set()

    async def start(self):
        await self.agent.start()
        for meter in self.meters:
            await meter.start()
        return self

    async def stop(self):
        for task in self._later:
            task.cancel()
        await self.agent.stop()
        for meter in self.meters:
            await meter.stop()

    def _write(self, oid, value):
        if oid != PREFERRED or value not in (1, 2, 3):
            return False
        self.writes.append(value)
        self.objects[PREFERRED] = value
        if self.obeys and value in (1, 2) and self.objects[ACTIVE] != value:
            self._soon(0.1, value)
            if self.returns_s:
                self._soon(self.returns_s, self.objects[ACTIVE])
        return True

    def _soon(self, seconds, source):
        async def move():
            await asyncio.sleep(seconds)
            self.objects[ACTIVE] = source

        task = asyncio.create_task(move())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _meter(self, number):
        power_w = self.load_w if self.objects[ACTIVE] == number else 0.0
        volt = self.volts[number]
        values = {0: volt, 6: power_w / volt if volt else 0.0, 0x0C: power_w, 0x34: power_w}
        values |= {0x38: power_w, 0x3E: 1.0, 0x46: 50.0 if volt else 0.0, 0x48: 1.0}
        words = dict.fromkeys(range(0x4C), 0)
        for address, value in values.items():
            words |= dict(enumerate(struct.unpack(">2H", struct.pack(">f", value)), address))
        return words

    def devices(self, *, lab=False, port=0, community="COMMUNITY"):
        """Its part of a rack file; ``port`` and ``community`` put another agent in its place."""
        head = '[[device]]\nid = "ats-1"\nprofile = "quick_ats.toml"\nisolated = true\n'
        address = f"snmp://127.0.0.1:{port or self.agent.port}"
        login = f'snmp = {{ community = "env:{community}" }}'
        tables = [f'{head}url = "{address}"\nlab = {str(lab).lower()}\n{login}']
        for side, meter in zip("ab", self.meters, strict=True):
            tables.append(
                f'[[device]]\nid = "in-{side}"\nprofile = "eastron_sdm630"\nhost = "127.0.0.1"\n'
                f'port = {meter.port}\nats = "ats-1"\nrole = "source_{side}"'
            )
        return "\n".join(tables)


class Bench:
    """An agent in this process, on a rack file made of a switch's devices."""

    SPEED = 60.0  # the return delay of 60 data seconds is a second

    def __init__(self, folder, coordinator, devices, began, **ats):
        self.path = folder / "rack.toml"
        shipped = (
            BUILT_IN / "apc_ats.toml"
        ).read_text()  # its dwell is real time, that runs faster here
        (folder / "quick_ats.toml").write_text(shipped.replace("dwell_real_s = 30.0", ""))
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
