"""An APC AP44xx over SNMP whose active source follows, and the meters on its inputs."""

import asyncio

from ats_bench import Meters

from wattcast_configs.profiles import BUILT_IN
from wattcast_tools.faults import snmp

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
        self.obeys, self.returns_s = True, 0.0
        self.writes = []
        self.agent = snmp.Agent(lambda: self.objects, self._write)
        self.meters = Meters(lambda: self.objects[ACTIVE], load_w)
        self._later = set()

    async def start(self):
        await self.agent.start()
        await self.meters.start()
        return self

    async def stop(self):
        for task in self._later:
            task.cancel()
        await self.agent.stop()
        await self.meters.stop()

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

    def devices(self, *, lab=False, port=0, community="COMMUNITY"):
        """Its part of a rack file; ``port`` and ``community`` put another agent in its place."""
        address = f"snmp://127.0.0.1:{port or self.agent.port}"
        login = f'snmp = {{ community = "env:{community}" }}'
        return (
            '[[device]]\nid = "ats-1"\nprofile = "quick_ats.toml"\nisolated = true\n'
            f'url = "{address}"\nlab = {str(lab).lower()}\n{login}\n{self.meters.devices()}'
        )


def quick_profile():
    """As shipped, but for its dwell: that is real time, which runs faster on a bench."""
    return (BUILT_IN / "apc_ats.toml").read_text().replace("dwell_real_s = 30.0", "")
