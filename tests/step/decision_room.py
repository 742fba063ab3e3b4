"""A small room that answers to the decision core's effects, without sockets or devices."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from wattcast_configs.control import Decision
from wattcast_configs.site import Ats, Feed, Pdu, Server, Site, Workload
from wattcast_coordinator.ports import (
    CommandAts,
    Effect,
    Inputs,
    Move,
    MoveState,
    MoveStatus,
    StartMove,
)
from wattcast_coordinator.step import State, step
from wattcast_coordinator.topology.graph import Graph, build
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.samples import Quality
from wattcast_core.signature import FEATURES, Signature

START = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S = 300.0
HORIZON = 12
IDLE_W = 100.0


def site(
    feeds: str = "ABC", limit_w: float = 1200.0, limit_n1_w: float = 1650.0, mode: str = "automatic"
) -> Site:
    """Racks of four servers on neighbouring feeds; an appliance behind an ATS in each."""
    pairs = {"ABC": ("AB", "BC", "CA"), "AB": ("AB", "AB")}[feeds]
    pdus, servers, switches, workloads = [], [], [], []
    for r, (a, b) in enumerate(pairs):
        pdus += [Pdu(f"r{r}-{f}", f"r{r}", f, 3000.0, 3000.0) for f in (a, b)]
        switches.append(Ats(f"ats{r}", f"r{r}", f"r{r}-{a}", f"r{r}-{b}", 2000.0))
        for s in range(4):
            cords = (f"r{r}-{a}", f"r{r}-{b}")
            servers.append(
                Server(f"r{r}s{s}", f"r{r}", cords, (0.5, 0.5), IDLE_W, 400.0, engine="http://x")
            )
            workloads += [
                Workload(f"w{r}{s}{i}", f"r{r}s{s}", f"app{r}", movable=i == 0, cpu=0.3,
                         state_gib=0.5, criticality=1 + s)
                for i in (0, 1)
            ]  # fmt: skip
        servers.append(Server(f"r{r}sw", f"r{r}", (f"ats{r}",), (1.0,), 50.0, 50.0))
    return Site(
        "test",
        tuple(Feed(f, limit_w, limit_n1_w, mode) for f in feeds),
        tuple(pdus),
        tuple(servers),
        tuple(switches),
        tuple(workloads),
    )


@dataclass
class Room:
    """Loads follow ``watts(workload, step)``; forecasts continue the last two steps."""

    site: Site
    watts: Callable[[str, int], float] = lambda workload, step: 60.0
    spread_w: float = 4.0
    speed: float = 30.0
    decision: Decision = field(default_factory=Decision)
    now_step: int = 0
    placement: dict[str, str] = field(default_factory=dict)
    moves: list[MoveStatus] = field(default_factory=list)
    results: list[CommandResult] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    dark: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    outcome: Outcome = Outcome.TRANSFERRED
    move_state: MoveState = MoveState.DONE
    history: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.placement = {w.id: w.server for w in self.site.workload}
        self.sources = {a.id: 1 for a in self.site.ats}

    @property
    def graph(self) -> Graph:
        return build(self.site)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.now_step * STEP_S)

    def power_w(self, server: str, at: int) -> float:
        hosted = sum(self.watts(w, at) for w, s in self.placement.items() if s == server)
        return IDLE_W * (0.5 if server.endswith("sw") else 1.0) + hosted

    def inputs(self) -> Inputs:
        """What the coordinator would see at the end of step ``now_step``."""
        seen = [s.id for s in self.site.server if s.id not in self.silent]
        for name in seen:
            self.history.setdefault(name, []).append(self.power_w(name, self.now_step))
        return Inputs(
            now=self.now,
            speed=self.speed,
            forecasts={name: self.forecast(name) for name in seen},
            signatures={name: self.signature(name) for name in seen},
            recent_w={},
            devices=self.devices(),
            placement=dict(self.placement),
            moves=tuple(self.moves),
            results=tuple(self.results),
        )

    def forecast(self, server: str) -> Forecast:
        now_w = self.power_w(server, self.now_step)
        slope = now_w - self.power_w(server, self.now_step - 1)
        rows = []
        for h in range(1, HORIZON + 1):
            middle, sigma = now_w + slope * h, self.spread_w * (h / HORIZON) ** 0.5
            rows.append(tuple(middle + z * sigma for z in (-1.2816, 0.0, 1.2816, 2.3263)))
        return Forecast(server, self.now, STEP_S, tuple(rows), Kind.NAIVE, "", "naive", 0.0)

    def signature(self, server: str) -> Signature:
        at = self.now - timedelta(seconds=STEP_S)
        watts = self.power_w(server, self.now_step)
        spec = next(s for s in self.site.server if s.id == server)
        feeds = {p.id: p.feed for p in self.site.pdu}
        live = [feeds.get(c) not in self.dark for c in spec.cords]
        cords = tuple(watts / max(sum(live), 1) * on for on in live)
        return Signature(server, at, STEP_S, cords, (0.0,) * len(FEATURES))

    def devices(self) -> dict[str, DeviceState]:
        at = self.now - timedelta(seconds=10)
        out = {
            p.id: DeviceState(p.id, "pdu", at, Quality.GOOD,
                              {"inlet.1.voltage_v": 0.5 if p.feed in self.dark else 230.0})
            for p in self.site.pdu
        }  # fmt: skip
        for name, source in self.sources.items():
            out[name] = DeviceState(
                name, "ats", at, Quality.GOOD, {"ats.active_source": float(source)}
            )
        return out

    def cycle(self, state: State) -> tuple[State, list[Effect]]:
        """One decision cycle, after which the room has done what was asked."""
        state, effects = step(state, self.inputs(), self.graph, self.decision)
        self.results = []
        self.moves = [m for m in self.moves if m.state is MoveState.RUNNING]
        self.moves = [replace(m, state=self._finish(m.move)) for m in self.moves]
        for effect in effects:
            if isinstance(effect, StartMove):
                self.moves.append(MoveStatus(effect.intent, effect.move, MoveState.RUNNING))
            elif isinstance(effect, CommandAts):
                self._transfer(effect)
        self.now_step += 1
        return state, effects

    def run(self, cycles: int, state: State | None = None) -> tuple[State, list[Effect]]:
        state, effects = state or State(), []
        for _ in range(cycles):
            state, more = self.cycle(state)
            effects += more
        return state, effects

    def _finish(self, move: Move) -> MoveState:
        if self.move_state is MoveState.DONE:
            self.placement[move.workload] = move.target
        return self.move_state

    def _transfer(self, command: CommandAts) -> None:
        if self.outcome is Outcome.TRANSFERRED:
            self.sources[command.transfer.ats] = "AB".index(command.transfer.to_source) + 1
        self.results.append(
            CommandResult(command.intent, command.transfer.ats, 1, self.outcome, "why", self.now)
        )


def ramp(rack: str = "0", start: int = 5, rise_w: float = 3.0, top_w: float = 105.0):
    """Workloads of one rack rise from 60 W."""

    def watts(workload: str, at: int) -> float:
        risen = 60.0 + rise_w * max(0, at - start)
        return min(risen, top_w) if workload[1] == rack else 60.0

    return watts
