"""Wattcast in the room's story without sockets: the agents' forecaster and the coordinator's step.

The code is that of the live processes; only the edges are left out: readings come from the room's
meters as step means, effects go to the room's model with the delays that were measured live.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from wattcast_agent.forecast.forecaster import Forecaster, Predict
from wattcast_configs import site as configs
from wattcast_configs.control import Decision
from wattcast_coordinator.ports import (
    CommandAts,
    Effect,
    Inputs,
    MoveState,
    MoveStatus,
    StartMove,
)
from wattcast_coordinator.step import State, step
from wattcast_coordinator.topology import graph
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.points import ACTIVE_SOURCE
from wattcast_core.samples import Quality
from wattcast_core.signal.familiar import Range
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_tools.room.layout import VOLTAGE_V, Layout
from wattcast_tools.room.scenario import HISTORY_S, STEP_S, Scenario
from wattcast_tools.room.story import Metered, Story

_SPEED = 75.0  # data seconds a real second, as in the demonstration
_WINDOW = 64
_METERED = (
    "cpu_pct",
    "memory_used_pct",
    "net_rx_bytes_per_s",
    "net_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
)


def site_of(layout: Layout) -> configs.Site:
    """The room as commissioned."""
    return configs.Site(
        name=f"story-{len(layout.racks)}",
        feed=tuple(configs.Feed(f.id, f.limit_w, f.limit_n1_w) for f in layout.feeds),
        pdu=tuple(configs.Pdu(p.id, p.rack, p.feed, p.limit_w, p.limit_n1_w) for p in layout.pdus),
        ats=tuple(configs.Ats(a.id, a.rack, *a.pdus, a.rating_w) for a in layout.switches),
        server=tuple(
            configs.Server(
                s.id,
                s.rack,
                cords=_cords(s.rack, dual=s.share_a is not None),
                shares=(1.0,) if s.share_a is None else (s.share_a, 1.0 - s.share_a),
                idle_w=s.platform.idle_w,
                full_w=s.platform.full_w,
                mem_gib=s.platform.mem_gib,
                engine="model" if s.hosts else "",
            )
            for s in layout.servers
        ),
        workload=tuple(
            configs.Workload(
                w.id,
                w.server,
                w.application,
                w.version,
                criticality=w.criticality,
                movable=w.movable,
                cpu=w.cpu_request,
                mem_gib=w.mem_gib,
                state_gib=w.state_gib,
            )
            for w in layout.workloads
        ),
    )


def _cords(rack: str, *, dual: bool) -> tuple[str, ...]:
    return (f"pdu-{rack}-a", f"pdu-{rack}-b") if dual else (f"ats-{rack}",)


@dataclass
class Loop:
    """Wattcast over one story; ``run`` tells it to the end.

    Attributes:
        first_alarm_s: story time of the first announced risk, None if there was none.
        kinds: forecasts served after the history, by forecaster.
    """

    scenario: Scenario
    predict: Predict | None
    model_id: str
    learned: Range | None = None
    first_alarm_s: float | None = None
    kinds: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        layout = self.scenario.layout
        self.story = Story(self.scenario)
        self._graph = graph.build(site_of(layout))
        self._racks = {s.id: s.rack for s in layout.servers}
        self._agents = {
            r: Forecaster(self.predict, self.model_id, learned=self.learned) for r in layout.racks
        }
        self._tags = {w.server: Tags(application=w.application) for w in layout.workloads}
        self._placement = {w.id: w.server for w in layout.workloads}
        self._recent: dict[str, deque[float]] = {
            s.id: deque(maxlen=_WINDOW) for s in layout.servers
        }
        self._forecasts: dict[str, Forecast] = {}
        self._moves: dict[str, tuple[float, MoveStatus]] = {}
        self._results: list[tuple[float, CommandResult]] = []
        self._state = State()

    def run(self) -> None:
        """History, then the story, a decision at the end of every step."""
        index = -round(HISTORY_S / STEP_S)
        while not self.story.over:
            self._step(self.story.metered(index))
            index += 1

    def _step(self, seen: Metered) -> None:
        now = self.scenario.start + timedelta(seconds=seen.end_s)
        signatures = self._signatures(seen, now - timedelta(seconds=STEP_S))
        for rack, agent in self._agents.items():
            here = [s for s in signatures if self._racks[s.server] == rack]
            issued = agent.update(here, now, 0.0)
            self._forecasts |= {f.server: f for f in issued}
            if seen.end_s > 0:
                for forecast in issued:
                    self.kinds[forecast.kind] += 1
        self._state, effects = step(
            self._state, self._inputs(now, seen.end_s, signatures), self._graph, Decision()
        )
        if self._state.episodes and self.first_alarm_s is None:
            self.first_alarm_s = seen.end_s
        self._carry_out(effects, seen.end_s, now)

    def _signatures(self, seen: Metered, at: datetime) -> list[Signature]:
        out = []
        for row, server in enumerate(seen.servers):
            values = dict.fromkeys(FEATURES, float("nan"))
            values |= {name: float(getattr(seen, name)[row]) for name in _METERED}
            cords = seen.cords_w[row][: len(self._graph.site.server[row].cords)]
            quality = Quality.GOOD if np.isfinite(cords).all() else Quality.MISSING
            tags = self._tags.get(server, Tags())
            out.append(
                Signature(
                    server, at, STEP_S, tuple(map(float, cords)), tuple(values.values()), tags,
                    quality,
                )
            )  # fmt: skip
            self._recent[server].append(out[-1].power_w)
        return out

    def _inputs(self, now: datetime, at_s: float, signatures: Iterable[Signature]) -> Inputs:
        return Inputs(
            now=now,
            speed=_SPEED,
            forecasts=dict(self._forecasts),
            signatures={s.server: s for s in signatures},
            recent_w={k: tuple(v) for k, v in self._recent.items()},
            devices=self._devices(now),
            placement=dict(self._placement),
            moves=self._take_moves(at_s),
            results=self._take_results(at_s),
        )

    def _devices(self, now: datetime) -> dict[str, DeviceState]:
        up, sources = self.story.feeds_up, self.story.sources
        states = [
            DeviceState(
                p.id,
                "pdu",
                now,
                Quality.GOOD,
                {"inlet.1.voltage_v": VOLTAGE_V if up[p.feed] else 0.0},
            )
            for p in self.scenario.layout.pdus
        ]
        states += [
            DeviceState(name, "ats", now, Quality.GOOD, {ACTIVE_SOURCE: 1.0 + "AB".index(side)})
            for name, side in sources.items()
        ]
        return {s.device: s for s in states}

    def _take_moves(self, at_s: float) -> tuple[MoveStatus, ...]:
        """Those under way; one that has ended is handed over once."""
        out = []
        for intent, (done_s, status) in list(self._moves.items()):
            if done_s > at_s:
                out.append(status)
                continue
            move = status.move
            done = move.target in self.story.placement[move.workload]
            self._placement[move.workload] = move.target if done else move.source
            state = MoveState.DONE if done else MoveState.FAILED
            out.append(MoveStatus(intent, move, state))
            del self._moves[intent]
        return tuple(out)

    def _take_results(self, at_s: float) -> tuple[CommandResult, ...]:
        due = [r for done_s, r in self._results if done_s <= at_s]
        self._results = [(done_s, r) for done_s, r in self._results if done_s > at_s]
        return tuple(due)

    def _carry_out(self, effects: Iterable[Effect], at_s: float, now: datetime) -> None:
        for effect in effects:
            if isinstance(effect, StartMove):
                move = effect.move
                done_s = self.story.migrate(move.workload, move.target, at_s)
                running = MoveStatus(effect.intent, move, MoveState.RUNNING)
                self._moves[effect.intent] = (done_s, running)
            elif isinstance(effect, CommandAts):
                transfer = effect.transfer
                done_s = self.story.transfer(transfer.ats, transfer.to_source, at_s)
                result = CommandResult(effect.intent, transfer.ats, 1, Outcome.TRANSFERRED, "", now)
                self._results.append((done_s, result))
