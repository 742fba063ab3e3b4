"""One term of leadership with doubles at the edges: what goes wrong is told, and goes on."""

import asyncio
import math
import time
from datetime import timedelta

import pytest
from coordinator_process import until
from small_site import DATA_START_S, SITE, SPEED, STEP_S, control

from wattcast_configs.files import load_control, load_site
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.coord.election import Deposed, Leadership
from wattcast_coordinator.coord.etcd import KeyValue
from wattcast_coordinator.coord.intents import Intent, IntentKind, Intents, IntentState
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.ports import CommandAts, Move, MoveState, MoveStatus, StartMove, Transfer
from wattcast_coordinator.run import leader as leading
from wattcast_coordinator.run.actions import Actions
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.run.leader import Leader
from wattcast_coordinator.run.models import ModelDesk
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.prices import Prices
from wattcast_coordinator.run.view import LiveView
from wattcast_coordinator.store.contract import Counts, RecentPower
from wattcast_coordinator.topology import graph
from wattcast_core.clock import DataClock, Segment
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.errors import DataError, StoreUnavailable
from wattcast_core.samples import Quality
from wattcast_tools.demo import toml_text

MOVE = Move("w1", "r0-s0", "r1-s0", 0.0, "why")
TRANSFER = Transfer("r0-ats", "A", "B", 0.0, "why")


class Etcd:
    """Keys in memory; ``leads`` False refuses every guarded write."""

    def __init__(self):
        self.keys, self.leads = {}, True

    async def get(self, key):
        return KeyValue(key, self.keys[key], 1) if key in self.keys else None

    async def list(self, prefix):
        return tuple(KeyValue(k, v, 1) for k, v in self.keys.items() if k.startswith(prefix))

    async def put_if(self, guard, values, lease=0):
        if self.leads:
            self.keys |= values
        return self.leads


class Edges:
    """Store, agents, executor and migrator in one."""

    def __init__(self):
        self.events, self.sent, self.connected, self.trouble = [], [], set(), None
        self.audited, self.meters = [], {}

    def write_event(self, event):
        self.events.append(event)

    def write_audit(self, entry):
        self.audited.append(entry)

    async def write_workloads(self, rows):
        self.workload_power = rows

    async def describe(self, meters, at):
        self.meters = meters

    async def roll_up(self, now):
        return 0

    async def recent_power(self, steps, patience_real_s=1.0):
        return RecentPower()

    async def counts(self):
        return Counts()

    async def placement(self):
        return {}

    def send(self, agent, command):
        self.sent.append((agent, command))
        return True

    async def run(self, ident, move, progress):
        if self.trouble:
            raise self.trouble
        progress("copy")
        return MoveStatus(ident, move, MoveState.DONE, "moved", 1.0)


@pytest.fixture
def edges():
    return Edges()


@pytest.fixture
def etcd():
    return Etcd()


@pytest.fixture
def parts(edges, tmp_path):
    began = time.time()
    (tmp_path / "site.toml").write_text(toml_text.dumps(SITE))
    quick = {"decision": {"settle_real_s": 0.05}}
    (tmp_path / "control.toml").write_text(toml_text.dumps(control(began) | quick))
    files = load_control(tmp_path / "control.toml"), load_site(tmp_path / "site.toml")
    fast = DataClock((Segment(began, DATA_START_S, 10 * SPEED),))
    prices = Prices(files[0].grid, tmp_path, tmp_path)
    parts = Parts(*files, fast, Board(), edges, edges, None, edges, edges, prices)
    parts.board.racks["r0"] = "agent-r0"
    return parts


@pytest.fixture
async def actions(parts, etcd):
    """A term; ends with the test."""
    async with asyncio.TaskGroup() as tasks:
        yield Actions(parts, Intents(Leadership(etcd, "me", 7, 1)), 7, tasks)


def open_intent(parts, kind, state, what, age_s=0.0):
    at = parts.now() - timedelta(seconds=age_s)
    return Intent("i1", kind, 3, at, what, state)


async def kept(etcd, *, ended=True):
    """The one intent, once it ended."""
    intents = Intents(Leadership(etcd, "me", 7, 1))
    async with asyncio.timeout(10):
        while True:
            found = await intents.list()
            if found and (not ended or found[0] not in await intents.open()):
                return found[0]
            await asyncio.sleep(0.01)


async def keep(etcd, intent):
    await Intents(Leadership(etcd, "me", 3, 1)).advance(intent, intent.state, intent.at)


async def test_a_command_is_sent_again_to_an_agent_that_came_back(actions, parts, edges, etcd):
    edges.connected.add("agent-r0")
    await actions.do(CommandAts("t1", TRANSFER))
    await until(lambda: len(edges.sent) == 1)
    edges.connected.clear()
    await asyncio.sleep(0.25)
    edges.connected.add("agent-r0")
    await until(lambda: len(edges.sent) == 2)
    assert edges.sent[0] == edges.sent[1]
    result = CommandResult("t1", "r0-ats", 7, Outcome.TRANSFERRED, "", parts.now())
    parts.board.take_answer(result)
    assert (await kept(etcd)).state is IntentState.DONE
    assert parts.board.results == [result]


async def test_a_command_that_nobody_could_take_in_time_is_refused(actions, parts, edges, etcd):
    what = {"ats": "r0-ats", "from": "A", "to": "B", "expires_real_s": time.time() + 0.2}
    await keep(etcd, open_intent(parts, IntentKind.TRANSFER, IntentState.ISSUED, what))
    await actions.resume()
    ended = await kept(etcd)
    assert ended.state is IntentState.REFUSED
    assert "no agent of rack r0 was connected in time; nothing was sent" in ended.result
    assert edges.sent == []


async def test_a_resumed_command_keeps_its_id_and_its_expiry(actions, parts, edges, etcd):
    what = {"ats": "r0-ats", "from": "A", "to": "B", "expires_real_s": 1.5}
    await keep(etcd, open_intent(parts, IntentKind.TRANSFER, IntentState.RUNNING, what))
    await actions.resume()
    edges.connected.add("agent-r0")
    await until(lambda: edges.sent)
    command = edges.sent[0][1]
    assert (command.id, command.token, command.expires_real_s) == ("i1", 7, 1.5)
    parts.board.take_answer(CommandResult("i1", "r0-ats", 7, Outcome.REFUSED, "x", parts.now()))
    assert (await kept(etcd)).result == "refused: x"


@pytest.mark.parametrize(
    ("intent", "why"),
    [
        (
            (IntentKind.TRANSFER, IntentState.ISSUED, {"ats": "gone", "from": "A", "to": "B"}, 0.0),
            "not in the site file",
        ),
        (
            (
                IntentKind.MOVE,
                IntentState.ISSUED,
                {"workload": "w1", "from": "a", "to": "b"},
                3 * STEP_S,
            ),
            "too old now",
        ),
    ],
    ids=["switch is gone", "never begun"],
)
async def test_what_cannot_be_resumed_is_closed(actions, parts, etcd, intent, why):
    await keep(etcd, open_intent(parts, *intent))
    await actions.resume()
    ended = await kept(etcd, ended=False)
    assert ended.state is IntentState.FAILED
    assert why in ended.result


async def test_a_move_that_is_done_changes_the_placement(actions, parts, etcd):
    await actions.do(StartMove("m1", MOVE))
    assert (await kept(etcd)).state is IntentState.DONE
    assert parts.board.moves["m1"].state is MoveState.DONE
    assert parts.board.placement["w1"] == "r1-s0"


async def test_a_move_that_fails_unforeseen_ends_alone(actions, parts, edges, etcd):
    edges.trouble = RuntimeError("bug")
    await actions.do(StartMove("m1", MOVE))
    assert (await kept(etcd)).state is IntentState.FAILED
    assert parts.board.moves["m1"].state is MoveState.FAILED
    assert "w1" not in parts.board.placement
    assert [e.kind for e in edges.events] == ["move_failed"]


async def test_a_failed_cycle_is_told_and_the_next_one_runs(
    parts, edges, etcd, monkeypatch, tmp_path
):
    view = LiveView(parts)
    desk = ModelDesk(ModelFiles(tmp_path), AgentServer(None), parts.now, parts.tell, print)
    leader = Leader(parts, graph.build(parts.site), view, desk)
    calls = []

    def step(state, *args):
        calls.append(args)
        raise DataError("no such node")

    monkeypatch.setattr(leading, "step", step)
    term = asyncio.create_task(leader.lead(Leadership(etcd, "me", 7, 1)))
    await until(lambda: len(calls) == 2 or term.done())
    assert view.leader.token == 7
    failed = [e for e in edges.events if e.kind == "failed"]
    assert "DataError: no such node" in failed[0].text
    monkeypatch.undo()
    etcd.leads = False
    with pytest.raises(Deposed):  # plainly: the elector looks for it
        await asyncio.wait_for(term, 10)
    assert view.leader.token == 0


async def test_without_its_network_of_sums_and_its_past_a_term_goes_on_and_tells(
    parts, edges, etcd, monkeypatch, tmp_path
):
    async def away(steps, patience_real_s=1.0):
        raise StoreUnavailable("no answer")

    cut = tmp_path / "cut.npz"
    cut.write_bytes(leading.BASE_SUMS.read_bytes()[:500])
    monkeypatch.setattr(leading, "BASE_SUMS", cut)
    monkeypatch.setattr(edges, "recent_power", away)
    view = LiveView(parts)
    desk = ModelDesk(ModelFiles(tmp_path), AgentServer(None), parts.now, parts.tell, print)
    leader = Leader(parts, graph.build(parts.site), view, desk)
    term = asyncio.create_task(leader.lead(Leadership(etcd, "me", 7, 1)))
    await until(lambda: view.fans or term.done())
    assert set(view.fans) == {"A", "B", "C"}
    told = [e.text for e in edges.events if e.kind == "failed"]
    assert any(str(cut) in text and "remedy" in text for text in told)
    assert any("recalling the past week of power failed" in text for text in told)
    etcd.leads = False
    with pytest.raises(Deposed):
        await asyncio.wait_for(term, 10)


async def test_people_see_what_is_known_and_the_rest_as_unknown(parts, edges):
    view = LiveView(parts)
    at = parts.now()
    edges.connected.add("agent-r0")
    active = {"ats.active_source": 2.0}
    parts.board.devices = {
        "r0-A": DeviceState("r0-A", "pdu", at, Quality.GOOD, {"inlet.1.power_w": 120.0}),
        "r2-A": DeviceState("r2-A", "pdu", at, Quality.MISSING, {"inlet.1.power_w": math.nan}),
        "r1-B": DeviceState("r1-B", "pdu", at, Quality.GOOD, {"inlet.1.power_w": 80.0}),
        "r0-ats": DeviceState("r0-ats", "ats", at, Quality.GOOD, active),
    }
    damaged = Intent("m1", IntentKind.MOVE, 3, at, {})
    done = Intent("t1", IntentKind.TRANSFER, 3, at, {"ats": "r0-ats"}, IntentState.DONE)
    view.intents = {i.id: i for i in (damaged, done)}
    state = view.state()
    loads_w = {f.id: f.load_w for f in state.feeds}
    assert loads_w == {"A": None, "B": 80.0, "C": None}, "a sum with an unread part is not known"
    assert [(a.active, a.quality) for a in state.ats[:2]] == [("B", "good"), ("unknown", "missing")]
    assert (state.commands[0].verified, state.migrations[0].workload) == (True, "")
    assert [(a.id, a.connected) for a in state.agents] == [("agent-r0", True)]
    assert view.state() is state, "the same snapshot for a moment"
