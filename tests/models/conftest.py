"""Real files, a real etcd, and who leads in it."""

import asyncio
import sys
from pathlib import Path

import pytest

from wattcast_coordinator.coord.election import Elector
from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.coord.server import EtcdServer

sys.path.append(str(Path(__file__).parent))  # the helpers beside the tests (importlib mode)


@pytest.fixture
async def etcd(tmp_path):
    server = await EtcdServer.start(tmp_path / "etcd", quick=True)
    client = Etcd([server.endpoint])
    yield client
    await client.close()
    await server.stop()


@pytest.fixture
async def leadership(etcd):
    got = asyncio.get_running_loop().create_future()

    async def lead(leadership):
        got.set_result(leadership)
        await asyncio.Event().wait()

    task = asyncio.create_task(Elector(etcd, "room", "a", ttl_s=5).run(lead))
    yield await asyncio.wait_for(got, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
