"""A small site with a coordinator process and agents that speak the real protocol."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from wattcast_coordinator.coord.server import EtcdServer

sys.path.insert(0, str(Path(__file__).parent))
from agent_double import AgentDouble
from coordinator_process import Coordinator
from small_site import RACKS


@pytest.fixture
async def coordinator(tmp_path):
    process = Coordinator(tmp_path)
    yield process
    await process.http.aclose()
    if process.child and process.child.returncode is None:
        await process.end(signal.SIGKILL)


@pytest.fixture
async def etcd(tmp_path):
    server = await EtcdServer.start(tmp_path / "etcd", quick=True)
    yield server
    await server.stop()


@pytest.fixture
async def agents(coordinator):
    """One agent a rack; they begin when ``connect`` is called with a running coordinator."""
    doubles = {rack: AgentDouble(f"agent-{rack}", rack, coordinator.clock) for rack in RACKS}
    tasks = [asyncio.create_task(double.run()) for double in doubles.values()]
    yield doubles
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
