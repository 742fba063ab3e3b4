"""Whatever crashes, fails or lapses, a migration ends safe: a model of the world, disturbed."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_coordinator.migrate.memory import Limits, Memory, fail, learn, note
from wattcast_coordinator.migrate.saga import next_action
from wattcast_coordinator.migrate.steps import WAITS, End, Step, StepName
from wattcast_coordinator.migrate.world import Gate, Instance, World
from wattcast_coordinator.ports import MoveState

LEASE_S = 10.0
LIMITS = Limits(before_s=30.0, tries=2)


@dataclass
class Site:
    """A workload's process and disk on one server."""

    address: str
    running: bool = False
    disk: set[int] | None = None
    loaded: set[int] = field(default_factory=set)
    healthy: bool = True
    generation: int = 0
    lease_end_s: float = 0.0
    released: bool = False

    def start(self) -> None:
        if not self.running:
            self.running, self.released, self.lease_end_s, self.generation = True, False, 0.0, 0
            self.disk = self.disk or set()
            self.loaded = set(self.disk)

    def quiesced(self, now_s: float) -> bool:
        return self.running and not self.released and now_s < self.lease_end_s

    def write(self, record: int) -> None:
        self.disk.add(record)
        self.loaded.add(record)

    def seen(self, now_s: float) -> Instance:
        if not self.running:
            return Instance(kept=self.disk is not None)
        left_s = max(0.0, self.lease_end_s - now_s)
        gate = Gate(self.generation, self.quiesced(now_s), left_s, self.released)
        return Instance(kept=True, address=self.address, healthy=self.healthy, gate=gate)


class Model:
    """Two servers, a proxy, clients; ``do`` carries out steps as the edges would."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.a, self.b = Site("a:1"), Site("b:1")
        self.a.start()
        self.endpoints = {"a:1": True}
        self.acknowledged: set[int] = set()
        self.held: list[int] = []
        self.count = 0
        self.up = True

    def world(self) -> World:
        return World(
            self.now_s,
            self.a.seen(self.now_s),
            self.b.seen(self.now_s),
            dict(self.endpoints) if self.up else None,
            len(self.held),
        )

    def write(self) -> None:
        """A client's request: acknowledged, held or, if nothing serves, refused."""
        self.count += 1
        self.route(self.count)

    def route(self, record: int) -> None:
        for site in (self.a, self.b):
            if self.endpoints.get(site.address) and site.running and not site.released:
                if site.quiesced(self.now_s):
                    self.held.append(record)
                else:
                    site.write(record)
                    self.acknowledged.add(record)
                return

    def elapse(self, seconds: float) -> None:
        self.now_s += seconds
        if self.held and not self.a.quiesced(self.now_s):
            for record in self.held:  # the source opened by itself: it serves what it held
                self.a.write(record)
                self.acknowledged.add(record)
            self.held = []

    def do(self, step: Step) -> int:
        self.elapse(0.02)
        deeds = {
            StepName.PRE_COPY: self.pull,
            StepName.CATCH_UP: self.pull,
            StepName.FINAL_COPY: self.pull,
            StepName.RETRIEVE: self.retrieve,
            StepName.STOP_STALE: lambda: self.stop(self.b),
            StepName.DISCARD_STALE: lambda: self.discard(self.b),
            StepName.START: self.b.start,
            StepName.REVIVE: self.a.start,
            StepName.ATTACH: lambda: self.endpoints.setdefault("b:1", False),
            StepName.UP: lambda: None,
            StepName.QUIESCE: self.quiesce,
            StepName.RELOAD: self.reload,
            StepName.SWITCH: lambda: self.endpoints.update({"a:1": False, "b:1": True}),
            StepName.RELEASE: self.release,
            StepName.STOP_SOURCE: lambda: self.stop(self.a),
            StepName.STOP_TARGET: lambda: self.stop(self.b),
            StepName.DETACH: lambda: self.detach(step.address),
            StepName.DISCARD_SOURCE: lambda: self.discard(self.a),
            StepName.DISCARD_TARGET: lambda: self.discard(self.b),
        }
        if step.name is StepName.MERGE:
            return self.merge()
        deeds[step.name]()
        return 0

    def pull(self) -> None:
        assert not self.endpoints.get("b:1"), "a copy over the state of the serving target"
        assert (self.b.disk or set()) <= self.a.disk, "a copy over records only the target has"
        self.b.disk = set(self.a.disk)

    def retrieve(self) -> int:
        for record in self.b.loaded - self.a.disk:
            self.a.write(record)

    def quiesce(self) -> None:
        self.a.generation += 1
        self.a.lease_end_s = self.now_s + LEASE_S

    def reload(self) -> None:
        self.b.loaded = set(self.b.disk)

    def release(self) -> None:
        if self.a.quiesced(self.now_s):
            self.a.released = True
            held, self.held = self.held, []
            for record in held:
                self.route(record)

    def merge(self) -> int:
        missing = self.a.disk - self.b.loaded
        for record in missing:
            self.b.write(record)
        return len(missing)

    def stop(self, site: Site) -> None:
        assert not self.endpoints.get(site.address), "stopped what serves"
        assert not self.held or site is not self.a, "stopped while it held requests"
        site.running = False

    def detach(self, address: str) -> None:
        assert not self.endpoints.get(address), "detached what serves"
        self.endpoints.pop(address, None)

    def discard(self, site: Site) -> None:
        assert not site.running
        site.disk = None

    def check(self) -> None:
        assert self.acknowledged <= (self.a.disk or set()) | (self.b.disk or set())
        assert sum(self.endpoints.values()) == 1


DISTURBANCES = (
    "crash",
    "fail before",
    "fail after",
    "wait",
    "unhealthy",
    "proxy away",
    "source dies",
    "write",
)


def disturb(model: Model, memory: Memory, what: str, seconds: float) -> Memory:
    if what == "crash":
        return Memory(model.now_s)
    if what == "wait":
        model.elapse(seconds)
    elif what == "unhealthy":
        model.b.healthy = not model.b.healthy
    elif what == "source dies":
        model.a.running, model.held = False, []
    elif what == "proxy away":
        model.up = not model.up
    return memory


def run(model: Model, script: list[tuple[str, float]]) -> End:
    memory = Memory(model.now_s)
    for turn in range(5000):
        what, seconds = script[turn] if turn < len(script) else ("write", 0.0)
        if turn == len(script):
            model.b.healthy = model.up = True
        memory = disturb(model, memory, what, seconds)
        if turn < len(script) + 20:
            model.write()
        world = model.world()
        memory = note(memory, world, LIMITS)
        action = next_action(world, memory, LIMITS)
        if isinstance(action, End):
            return action
        memory = attempt(model, memory, action, world, what)
        model.check()
    raise AssertionError(f"does not end: {action}, {memory}")


def attempt(model: Model, memory: Memory, step: Step, world: World, what: str) -> Memory:
    if step.name in WAITS:
        model.elapse(0.05)
        return memory
    if what == "fail before" or not model.up:
        model.elapse(0.2)
        return fail(memory, "failed before")
    records = model.do(step)
    if what == "fail after":
        return fail(memory, "failed after")
    return learn(memory, step, world, records)


def assert_safe(model: Model, end: End) -> None:
    model.check()
    if end.state is MoveState.DONE:
        assert model.endpoints == {"b:1": True}
        assert model.acknowledged <= model.b.loaded
        assert (model.a.running, model.a.disk) == (False, None)
    if end.state is MoveState.UNDONE:
        assert model.endpoints == {"a:1": True}
        assert model.acknowledged <= model.a.loaded
        assert (model.b.running, model.b.disk) == (False, None)
        assert not model.a.quiesced(model.now_s)


MOMENTS = st.sampled_from(
    [("write", 0.0)] * 4
    + [("wait", seconds) for seconds in (0.5, 8.5, 10.5, 12.0)]
    + [(what, 0.0) for what in DISTURBANCES if what != "wait"]
)
SCRIPTS = st.integers(0, 30).flatmap(lambda size: st.lists(MOMENTS, min_size=size, max_size=60))


@settings(max_examples=300, deadline=None)
@given(SCRIPTS)
def test_it_ends_safe_whatever_happens(script):
    model = Model()
    assert_safe(model, run(model, script))


def swapped(model: Model) -> Model:
    """The same world, seen by a migration back."""
    model.a, model.b = model.b, model.a
    model.a.address, model.b.address = "a:1", "b:1"
    model.endpoints = {"a:1": model.endpoints["b:1"], "b:1": model.endpoints["a:1"]}
    return model


def test_a_migration_back_keeps_what_an_unfinished_one_left_behind():
    model = Model()
    run_until(model, StepName.RELOAD)
    model.write()
    run_until(model, StepName.SWITCH)
    model.elapse(LEASE_S)
    assert model.acknowledged - model.b.disk, "a write that only the old source has"
    back = swapped(model)
    end = run(back, [])
    assert end.state is MoveState.DONE
    assert_safe(back, end)


@settings(max_examples=200, deadline=None)
@given(SCRIPTS)
def test_a_failed_migration_can_be_finished_by_running_it_again(script):
    model = Model()
    run(model, script)
    model.b.healthy = model.up = True
    if model.endpoints.get("a:1"):
        model.a.start()
    model.elapse(LEASE_S)
    end = run(model, [])
    assert end.state is MoveState.DONE
    assert_safe(model, end)


def test_an_undisturbed_migration_holds_requests_only_for_the_final_copy():
    model, steps = Model(), []
    model_do = model.do
    model.do = lambda step: steps.append(step.name) or model_do(step)
    assert run(model, []) == End(MoveState.DONE, "done")
    assert steps == [
        StepName.PRE_COPY,
        StepName.START,
        StepName.ATTACH,
        StepName.UP,
        StepName.CATCH_UP,
        StepName.QUIESCE,
        StepName.FINAL_COPY,
        StepName.RELOAD,
        StepName.SWITCH,
        StepName.RELEASE,
        StepName.STOP_SOURCE,
        StepName.DETACH,
        StepName.DISCARD_SOURCE,
    ]


def test_the_switch_is_not_ordered_with_too_little_lease_left():
    model = Model()
    memory = Memory(model.now_s, precopied=True, up="b:1", copied=1, reloaded=1)
    model.b.start()
    model.endpoints["b:1"] = False
    model.quiesce()
    assert next_action(model.world(), memory, LIMITS) == Step(StepName.SWITCH)
    model.elapse(LEASE_S - LIMITS.margin_s + 0.1)
    assert next_action(model.world(), memory, LIMITS) == Step(StepName.QUIESCE)


@pytest.mark.parametrize("healthy", [True, False])
def test_a_dead_target_after_the_switch_never_costs_the_source(healthy):
    model = Model()
    run_until(model, StepName.SWITCH)
    model.b.running, model.b.healthy = healthy, False
    end = run(model, [("wait", 12.0)] * 20)
    assert model.a.disk is not None
    assert end.state in {MoveState.FAILED, MoveState.DONE}
    assert model.acknowledged <= model.a.disk | model.b.disk


def run_until(model: Model, last: StepName) -> None:
    memory = Memory(model.now_s)
    while True:
        world = model.world()
        memory = note(memory, world, LIMITS)
        step = next_action(world, memory, LIMITS)
        memory = attempt(model, memory, step, world, "")
        if step.name is last:
            return
