"""The physics of the room: loads, cords, switches, trips. Pure: no sockets, no clock."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wattcast_tools.room.layout import Feed, Pdu
from wattcast_tools.room.routing import BoolArray, FloatArray, Router, Routes
from wattcast_tools.room.scenario import BASE_CPU, HISTORY_S, Scenario
from wattcast_tools.room.traces import Traces
from wattcast_tools.room.truth import Truth

TICK_S = 5.0  # in the story; the history, where nothing happens, takes longer ones
HISTORY_TICK_S = 60.0
_SWING = 0.10  # of usual CPU: one standard deviation of the recorded machine
_NOISE = 0.012  # fast relative noise of power
_NOISE_S = 60.0  # its correlation time
_OS_MEMORY = 0.06  # of a server's memory


class Loads(NamedTuple):
    """True power now: by server [server], rack PDU [pdu], feed [feed]; CPU use [server], 0..1."""

    server_w: FloatArray
    pdu_w: FloatArray
    feed_w: FloatArray
    cpu: FloatArray


@dataclass
class Pending:
    """An ATS that will go to an inlet at a data time."""

    inlet: int
    at_s: float
    commanded: bool


class World:
    """The room at one data time; ``advance`` moves it on.

    Invariants: cords of a server sum to its power, rack PDUs of a feed to the feed's; a dark server
    draws nothing; data time never steps back.
    """

    def __init__(self, scenario: Scenario, traces: Traces) -> None:
        self.scenario, self.layout = scenario, scenario.layout
        self.router = Router(self.layout)
        self.truth = Truth()
        self.now_s = -float(HISTORY_S)
        self.server_index = {s.id: i for i, s in enumerate(self.layout.servers)}
        self.workload_index = {w.id: i for i, w in enumerate(self.layout.workloads)}
        self.switch_index = {s.id: i for i, s in enumerate(self.layout.switches)}
        self.feed_up = np.ones(len(self.layout.feeds), dtype=bool)
        self.pdu_up = np.ones(len(self.layout.pdus), dtype=bool)
        self.switch_up = np.ones(len(self.layout.switches), dtype=bool)
        self.active = [0] * len(self.layout.switches)
        self.preferred = [0] * len(self.layout.switches)
        self.runs = np.zeros((len(self.layout.workloads), len(self.layout.servers)))
        for index, workload in enumerate(self.layout.workloads):
            self.runs[index, self.server_index[workload.server]] = 1.0
        self.switch_fault = ""  # "stuck": no transfer follows; "returns": it goes back by itself
        self._settled = [self.server_index[w.server] for w in self.layout.workloads]
        self._pending: dict[int, Pending] = {}
        self._events = sorted(scenario.events, key=lambda event: event.at_s)
        self._rng = np.random.default_rng(scenario.noise_seed)
        self._traces, self._constants = traces, _Constants(scenario, traces)
        self._noise = np.zeros(len(self.layout.servers))
        self._heat = np.zeros(len(self.layout.feeds) + len(self.layout.pdus))
        self.routes: Routes = self._routes()
        self.powered: BoolArray = self.routes.powered
        self.loads = self._loads()

    # What can be done to the room -----------------------------------------------------------

    def start(self, workload: str, server: str) -> None:
        """An instance begins to run (and to draw power) on a server."""
        self.runs[self.workload_index[workload], self.server_index[server]] = 1.0

    def stop(self, workload: str, server: str) -> None:
        """An instance ends. A migration is complete when the old one ends while a new one runs."""
        index, place = self.workload_index[workload], self.server_index[server]
        self.runs[index, place] = 0.0
        others = np.flatnonzero(self.runs[index])
        if place == self._settled[index] and len(others):
            self._settled[index] = int(others[0])
            if self._in_story():
                self.truth.moves.append(self.now_s)

    def prefer(self, switch: str, inlet: int, delay_s: float) -> None:
        """Set an ATS's preferred inlet (0 or 1); it follows after ``delay_s`` data seconds."""
        index = self.switch_index[switch]
        self.preferred[index] = inlet
        self._pending.pop(index, None)
        if inlet != self.active[index] and self.switch_fault != "stuck":
            self._pending[index] = Pending(inlet, self.now_s + delay_s, commanded=True)

    def set_feed(self, feed: str, *, up: bool) -> None:
        """A feed goes dark, or comes back; an ATS goes back to its preferred source by itself."""
        self.feed_up[[f.id for f in self.layout.feeds].index(feed)] = up
        self._rewire()
        for index, switch in enumerate(self.layout.switches):
            if up and self.preferred[index] != self.active[index]:
                back_s = self.now_s + switch.return_s
                self._pending[index] = Pending(self.preferred[index], back_s, commanded=False)

    def advance(self, to_s: float) -> None:
        """Move on to a data time in ticks on a fixed grid; stops at the last tick before it."""
        while True:
            dt_s = HISTORY_TICK_S if self.now_s < 0 else TICK_S
            if self.now_s + dt_s > to_s:
                return
            self._tick(dt_s)

    # What can be seen -----------------------------------------------------------------------

    def inlet_live(self, switch: int, inlet: int) -> bool:
        """Whether an ATS's source has voltage."""
        pdu = self.router.sides[self.router.switch_of == switch][0][inlet]
        return bool(self.pdu_up[pdu] and self.feed_up[self.router.feed_of[pdu]])

    def pdu_live(self) -> BoolArray:
        """[pdu] whether it has voltage."""
        return np.asarray(self.pdu_up & self.feed_up[self.router.feed_of])

    def usage(self) -> tuple[FloatArray, FloatArray]:
        """Recorded traffic of what runs: [server, column of COLUMNS], and memory use [server].

        Disk and network follow an application's load beyond the recording, as its CPU does.
        """
        constants = self._constants
        rows = self._traces.at(self.scenario.trace_start_s + self.now_s)
        mine = rows[constants.machines].mean(axis=1)
        busy = (self._wanted / np.maximum(constants.cpu, 1e-6))[:, None]
        used_gib = constants.mem_gib * (0.4 + 0.006 * np.minimum(mine[:, 1], 100.0))
        memory = _OS_MEMORY + used_gib @ self.runs / constants.server_gib
        return np.asarray(self.runs.T @ (mine * busy)), np.minimum(memory, 1.0)

    def after_loss(self) -> tuple[FloatArray, FloatArray]:
        """Loads after the loss of each feed: feeds [lost, feed] and rack PDUs [lost, pdu]."""
        pdus = np.einsum("s,lsp->lp", self._demand_w, self.routes.share[1:])
        return pdus @ self.router.to_feed, pdus

    # Inside ---------------------------------------------------------------------------------

    def _in_story(self) -> bool:
        return 0 <= self.now_s <= self.scenario.duration_s

    def _tick(self, dt_s: float) -> None:
        self.now_s += dt_s
        fade = float(np.exp(-dt_s / _NOISE_S))
        fresh = self._rng.standard_normal(len(self._noise))
        self._noise = fade * self._noise + _NOISE * np.sqrt(1 - fade**2) * fresh
        self._happen()
        self.loads = self._loads()
        if self.now_s >= 0:
            self._wear(dt_s)
        if self._in_story():
            self._judge(dt_s)

    def _happen(self) -> None:
        while self._events and self._events[0].at_s <= self.now_s:
            event = self._events.pop(0)
            self.set_feed(event.feed, up=event.up)
        for index, pending in list(self._pending.items()):
            if pending.at_s <= self.now_s:
                del self._pending[index]
                self._transfer(index, pending)

    def _transfer(self, index: int, pending: Pending) -> None:
        if not self.inlet_live(index, pending.inlet):
            return
        self.active[index] = pending.inlet
        self._rewire()
        if pending.commanded and self._in_story():
            self.truth.transfers.append(self.now_s)
        if pending.commanded and self.switch_fault == "returns":
            back_s = self.now_s + self.layout.switches[index].return_s
            self._pending[index] = Pending(1 - pending.inlet, back_s, commanded=False)

    def _rewire(self) -> None:
        """Let every ATS with a dead source take the other, then find who is dark."""
        for index, inlet in enumerate(self.active):
            if not self.inlet_live(index, inlet) and self.inlet_live(index, 1 - inlet):
                self.active[index] = 1 - inlet
        self.routes = self._routes()
        gone = self.powered & ~self.routes.powered
        if self._in_story():
            self.truth.dark |= {self.layout.servers[i].id for i in np.flatnonzero(gone)}
        self.runs[:, ~self.routes.powered] = 0.0
        self.powered = self.routes.powered

    def _routes(self) -> Routes:
        return self.router.routes(self.feed_up, self.pdu_up, self.switch_up, self.active)

    def _loads(self) -> Loads:
        constants, ramp = self._constants, self.scenario.ramp(self.now_s)
        cpu_pct = self._traces.at(self.scenario.trace_start_s + self.now_s)[:, 0]
        shape = np.clip((cpu_pct - constants.mean) / constants.spread, -2.0, 3.0)
        swing = 1.0 + _SWING * shape[constants.machines].mean(axis=1)
        self._wanted = constants.cpu * swing + constants.drift * ramp
        cpu = np.minimum(self._wanted @ self.runs + BASE_CPU, 1.0)
        self._demand_w = constants.power_w(cpu) * (1.0 + self._noise)
        pdu_w = self._demand_w @ self.routes.share[0]
        server_w = np.where(self.powered, self._demand_w, 0.0)
        return Loads(server_w, pdu_w, pdu_w @ self.router.to_feed, cpu * self.powered)

    def _wear(self, dt_s: float) -> None:
        """Heat up what is overloaded; trip what has had enough."""
        devices: list[Feed | Pdu] = [*self.layout.feeds, *self.layout.pdus]
        load_w = np.concatenate([self.loads.feed_w, self.loads.pdu_w])
        for index, device in enumerate(devices):
            load = float(load_w[index]) / device.rating_w
            self._heat[index] = max(0.0, self._heat[index] + device.curve.heat(load, dt_s))
        for worn in np.flatnonzero(self._heat >= 1.0):
            self._heat[worn] = 0.0
            self._trip(int(worn))

    def _trip(self, index: int) -> None:
        feeds = len(self.layout.feeds)
        if index < feeds:
            name, self.feed_up[index] = f"feed-{self.layout.feeds[index].id}", False
        else:
            name, self.pdu_up[index - feeds] = self.layout.pdus[index - feeds].id, False
        if self._in_story():
            self.truth.tripped.append((name, self.now_s))
        self._rewire()

    def _judge(self, dt_s: float) -> None:
        constants, intact = self._constants, bool(self.feed_up.all())
        feed_limit_w = constants.feed_limit_w if intact else constants.feed_n1_w
        pdu_limit_w = constants.pdu_limit_w if intact else constants.pdu_n1_w
        use = self.loads.feed_w / feed_limit_w
        over = bool((use > 1.0).any() or (self.loads.pdu_w > pdu_limit_w).any())
        insecure = False
        if intact:
            feeds_w, pdus_w = self.after_loss()
            insecure = bool(
                (feeds_w > constants.feed_n1_w).any() or (pdus_w > constants.pdu_n1_w).any()
            )
        self.truth.tick(self.now_s, dt_s, float(use.max()), over=over, insecure=insecure)


class _Constants:
    """The layout's numbers as arrays."""

    def __init__(self, scenario: Scenario, traces: Traces) -> None:
        layout = scenario.layout
        recorded = traces.values[:, :, 0]
        self.mean, self.spread = recorded.mean(axis=1), recorded.std(axis=1)
        self.machines: npt.NDArray[np.int64] = np.array([w.machines for w in layout.workloads])
        self.cpu = np.array([w.cpu for w in layout.workloads])
        self.drift = np.array([w.drift_cpu for w in layout.workloads])
        self.mem_gib = np.array([w.mem_gib for w in layout.workloads])
        self.server_gib = np.array([s.platform.mem_gib for s in layout.servers])
        self.feed_limit_w = np.array([f.limit_w for f in layout.feeds])
        self.feed_n1_w = np.array([f.limit_n1_w for f in layout.feeds])
        self.pdu_limit_w = np.array([p.limit_w for p in layout.pdus])
        self.pdu_n1_w = np.array([p.limit_n1_w for p in layout.pdus])
        idle, ten, half, full = np.array([s.platform.watts for s in layout.servers]).T
        self._idle_w, self._rise_w = idle, (ten - idle, half - ten, full - half)

    def power_w(self, cpu: FloatArray) -> FloatArray:
        """[server] power at a CPU use, linear between 0, 10, 50 and 100 %."""
        low, middle, high = self._rise_w
        return np.asarray(
            self._idle_w
            + low * np.minimum(cpu / 0.1, 1.0)
            + middle * np.clip((cpu - 0.1) / 0.4, 0.0, 1.0)
            + high * np.clip((cpu - 0.5) / 0.5, 0.0, 1.0)
        )
