"""Two real agents on one rack, a real etcd, gRPC server and database; one is killed."""

import asyncio
import re
import signal
import socket
import sys
import time
from pathlib import Path

import duckdb
import pytest

sys.path.append(str(Path(__file__).parents[1] / "agent"))  # the doubles of the agent's tests
from rack_double import PREFERRED, RackDouble
from small_site import SITE

from wattcast_agent.run import hold
from wattcast_configs.files import load_site
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.coord.election import Elector
from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.coord.racks import Racks
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.open import open_store
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock, Segment
from wattcast_core.commands import AtsCommand, Outcome
from wattcast_tools.demo import toml_text

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SPEED, START_S = 60.0, 1_700_000_000.0
NAMES = ("agent-a", "agent-b")


class Central:
    """The coordinator's real parts, without the decision core."""

    def __init__(self, folder, etcd, clock):
        (folder / "site.toml").write_text(toml_text.dumps(SITE))
        self.path, self.clock, self.events = folder / "signatures.duckdb", clock, []
        self.etcd = Etcd([etcd.endpoint])
        self.elector = Elector(self.etcd, "small", "c1", 2)
        self.store = AsyncStore(open_store(f"duckdb:{self.path}"))
        self.board = Board()
        site = load_site(folder / "site.toml")
        handler = Handler(self.store, self.board, clock, site, lambda: self.elector.token, 300.0)
        handler.joined = handler.audit = self._nothing
        handler.tell = self._tell
        self.agents = AgentServer(handler)

    async def start(self):
        self.campaign = asyncio.create_task(self.elector.run(self._lead))
        await until(lambda: self.board.leases is not None)
        self.port = await self.agents.start("127.0.0.1:0")

    async def stop(self):
        await self.agents.stop(0.1)
        self.campaign.cancel()
        await asyncio.gather(self.campaign, return_exceptions=True)
        await self.store.close()
        await self.etcd.close()

    async def _lead(self, leadership):
        racks = Racks(leadership, asyncio.get_running_loop().time())
        await racks.load()
        self.board.leases = racks
        await asyncio.Event().wait()

    async def _nothing(self, *_):
        pass

    async def _tell(self, event):
        self.events.append(event)

    @property
    def holder(self):
        return self.board.racks.get("r0", "")

    def read_real_s(self, device):
        """When a device was read last, as far as known here."""
        state = self.board.devices.get(device)
        return self.clock.real_s(state.at) if state else 0.0

    async def order(self, ident, token, source="B"):
        other = "A" if source == "B" else "B"
        command = AtsCommand(ident, token, time.time() + 10, "ats-1", other, source)
        assert self.agents.send(self.holder, command)
        async with asyncio.timeout(15):
            return await asyncio.shield(self.board.answer(ident))


async def until(condition, patience_s=20.0):
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(0.05)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def rack():
    double = RackDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def central(tmp_path, etcd):
    clock = DataClock((Segment(time.time(), START_S, SPEED),))
    parts = Central(tmp_path, etcd, clock)
    await parts.start()
    yield parts
    if not parts.campaign.done():
        await parts.stop()


@pytest.fixture
async def pair(tmp_path, rack, central, monkeypatch):
    """The two agents of the rack; ``start`` starts one."""
    monkeypatch.setenv("PARTNER_KEY", "both know it")
    ports = dict(zip(NAMES, (free_port(), free_port()), strict=True))
    children = {}

    async def _start(name):
        partner = next(n for n in NAMES if n != name)
        text = rack.toml(step_s=60.0).replace('"agent-1"', f'"{name}"').replace('"r1"', '"r0"')
        text = text.replace('"state"', f'"{name}"')
        segment = central.clock.segments[0]
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'{text}\n[partner]\nid = "{partner}"\naddress = "127.0.0.1:{ports[partner]}"\n'
            f'listen = "127.0.0.1:{ports[name]}"\nkey = "env:PARTNER_KEY"\n'
            f"[clock]\nsegments = [[{segment.real_s}, {segment.data_s}, {segment.speed}]]\n"
        )
        words = ("-m", "wattcast_tools.main", "agent", str(path))
        with (tmp_path / f"{name}.log").open("ab") as log:
            children[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, *words, "--coordinator", f"127.0.0.1:{central.port}"),
                stderr=log,
            )
        return children[name]

    yield _start
    for child in children.values():
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_a_killed_agents_rack_is_taken_over_without_a_duplicate(
    pair, central, rack, tmp_path
):
    processes = {name: await pair(name) for name in NAMES}
    await until(lambda: central.holder and central.read_real_s("cord-0"))
    first = central.holder
    second = next(n for n in NAMES if n != first)
    await until(lambda: set(NAMES) <= central.agents.connected and central.board.redundant["r0"])
    token = central.elector.token
    result = await central.order("c1", token)
    assert result.outcome is Outcome.TRANSFERRED, result.why
    assert rack.writes == [(PREFERRED, 2)]

    await a_hold_at_the_one_that_stands_by_counts(central, tmp_path / f"{second}.toml", token)
    processes[first].send_signal(signal.SIGKILL)
    killed_real_s = time.time()
    await until(lambda: central.holder == second and central.read_real_s("cord-0") > killed_real_s)
    assert central.read_real_s("cord-0") - killed_real_s <= 10.0
    await until(lambda: not central.board.redundant["r0"])

    again = await central.order("c1", token)
    assert again == result, "the id's first result was carried over"
    lower = await central.order("c2", token - 1, "A")
    assert f"fencing token {token - 1} is lower than {token}" in lower.why
    assert rack.writes == [(PREFERRED, 2)]

    processes[first] = await pair(first)  # stands by, and brings what it had not sent
    await until(lambda: central.board.redundant["r0"])
    await asyncio.sleep(2.0)
    assert central.holder == second
    processes[second].send_signal(signal.SIGTERM)
    left_real_s = time.time()
    await until(lambda: central.holder == first and central.read_real_s("cord-0") > left_real_s)
    assert central.read_real_s("cord-0") - left_real_s <= 4.0, "who leaves says so"
    await until(lambda: processes[second].returncode is not None)

    logs = {name: (tmp_path / f"{name}.log").read_text() for name in NAMES}
    readers = re.findall(r"holder, epoch (\d+)", "".join(logs.values()))
    assert sorted(readers) == ["1", "2", "3"], "an epoch has one holder"
    assert "Traceback" not in "".join(logs.values())
    await asyncio.sleep(1.5)
    await central.stop()
    no_row_is_there_twice(central.path)


async def a_hold_at_the_one_that_stands_by_counts(central, rack_file, token):
    hold(rack_file, "ats-1", release=False)
    await asyncio.sleep(2.5)
    assert "technician's hold" in (await central.order("c-held", token, "A")).why
    hold(rack_file, "ats-1", release=True)
    await asyncio.sleep(2.5)


def no_row_is_there_twice(path):
    with duckdb.connect(path, read_only=True) as db:
        for table, key in (("samples", "source, quantity, ts"), ("signatures", "server, ts")):
            rows = f"(SELECT {key}, count(*) n FROM {table} GROUP BY ALL)"
            total, most = db.execute(f"SELECT count(*), max(n) FROM {rows}").fetchone()
            assert (total > 3, most) == (True, 1), table
