"""The coordinator as a process, and how tests look at it."""

import asyncio
import json
import sys
import time

import httpx
from small_site import SITE, clock, control

from wattcast_coordinator.coord.etcd import Etcd
from wattcast_tools.demo import toml_text

_POLL_S, PATIENCE_S = 0.05, 40.0


async def until(condition, patience_s=PATIENCE_S):
    """Poll until a condition (plain or async) gives something true; give that back."""
    async with asyncio.timeout(patience_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(_POLL_S)


class Coordinator:
    """``wattcast coordinator`` on the small site; may be killed and started again."""

    def __init__(self, folder):
        self.folder, self.file, self.ready = folder, folder / "control.toml", folder / "ready.json"
        self.began = time.time()
        self.clock = clock(self.began)
        self.log = folder / "coordinator.log"
        self.child, self.at, self.http = None, {}, httpx.AsyncClient(trust_env=False)
        (folder / "site.toml").write_text(toml_text.dumps(SITE))
        self.configure()

    def configure(self, **changes):
        self.file.write_text(toml_text.dumps(control(self.began) | changes))

    async def start(self, environ=None):
        self.ready.unlink(missing_ok=True)
        words = ("-m", "wattcast_tools.main", "coordinator", str(self.file))
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, *words, "--ready", str(self.ready), stderr=log, env=environ
            )

    async def up(self):
        await self.start()
        await until(lambda: self.ready.exists() or self.child.returncode is not None)
        assert self.child.returncode is None, self.log.read_text()
        self.at = json.loads(self.ready.read_text())

    async def end(self, number):
        """Send a signal (None: it ends by itself), wait; the exit code."""
        if number and self.child.returncode is None:
            self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), PATIENCE_S)

    async def state(self):
        return (await self.http.get(f"{self.at['rest']}/state")).json()

    async def until(self, condition):
        """The first state of the REST API for which the condition holds."""

        async def seen():
            state = await self.state()
            return state if condition(state) else None

        return await until(seen)


async def intents(endpoint):
    """Intents as they stand in etcd."""
    client = Etcd([endpoint])
    try:
        return [json.loads(kv.value) for kv in await client.list("/wattcast/intents/")]
    finally:
        await client.close()
