"""What the REST API and the page show: snapshots of the board, made anew when it changed."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from wattcast_coordinator.api.view import (
    AgentView,
    AtsView,
    CommandView,
    EventView,
    Fan,
    FeedView,
    JobView,
    LeaderView,
    MeterView,
    MigrationView,
    Point,
    ReactionView,
    RiskView,
    ServerView,
    State,
    StoreView,
    WorkloadView,
    WorstLoss,
)
from wattcast_coordinator.coord.intents import Intent, IntentKind, IntentState
from wattcast_coordinator.ports import Inputs, RaiseEvent
from wattcast_coordinator.run import recorded
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.step.state import Episode
from wattcast_coordinator.step.state import State as CoreState
from wattcast_coordinator.store.contract import Counts, HistoryPoint
from wattcast_coordinator.study.recording import Recording, to_document
from wattcast_coordinator.topology.graph import build
from wattcast_coordinator.topology.limits import limits_of
from wattcast_core import points
from wattcast_core.signature import FEATURES

_FRESH_REAL_S = 0.4
_HISTORY_STEPS = 96
_EVENTS_SHOWN = 60
_RISKS_KEPT = 500
_SOURCES = {1: "A", 2: "B"}
_CPU, _MEMORY, _TEMPERATURE = (
    FEATURES.index(name) for name in ("cpu_pct", "memory_used_pct", "inlet_temperature_c")
)


class LiveView:
    """Implements ``api.view.View`` over the running parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._board = parts, parts.board
        self._racks = {s.id: s.rack for s in parts.site.server}
        self._limits = limits_of(parts.site)
        self._graph = build(parts.site)
        self._history: dict[str, deque[Point]] = {
            f.id: deque(maxlen=_HISTORY_STEPS) for f in parts.site.feed
        }
        self.leader = LeaderView()
        self.intents: dict[str, Intent] = {}
        self.fans: dict[str, tuple[Fan, WorstLoss | None]] = {}
        self.counts = Counts()
        self.plan: tuple[str, ...] = ()
        self.risks: dict[str, RiskView] = {}
        self.meters: tuple[MeterView, ...] = ()
        self.jobs: tuple[JobView, ...] = ()
        self.last: tuple[CoreState, Inputs] | None = None
        self._made_real_s = 0.0
        self._state = State(now=parts.now())

    def note_loads(self, at: datetime) -> None:
        """Append the measured load of each feed to its history."""
        for feed, history in self._history.items():
            history.append(Point(at=at, load_w=self._load_w(feed)))

    def loads_w(self) -> dict[str, float]:
        """Measured load of each feed; NaN where it is not known."""
        return {feed: self._load_w(feed) for feed in self._history}

    def note_risks(self, episodes: Sequence[Episode]) -> None:
        """Remember each risk of this term, with what it was last said to lead to."""
        for e in episodes:
            key = f"{e.node}|{e.contingency}|{e.first_at.isoformat()}"
            self.risks[key] = RiskView.model_validate(e)
        while len(self.risks) > _RISKS_KEPT:
            del self.risks[next(iter(self.risks))]

    def state(self) -> State:
        """The newest snapshot, at most some tenths of a second old."""
        if time.monotonic() - self._made_real_s > _FRESH_REAL_S:
            self._made_real_s = time.monotonic()
            self._state = self._make()
        return self._state

    async def history(self, server: str, since: datetime) -> Sequence[HistoryPoint]:
        """Stored steps of a server, oldest first."""
        return await self._parts.store.history(server, since)

    async def events(self, limit: int) -> Sequence[RaiseEvent]:
        """The newest stored events, newest first."""
        return await self._parts.store.events(limit)

    async def recording(self) -> dict[str, Any] | None:
        """What the last decision cycle saw, with the past days."""
        if self.last is None:
            return None
        state, inputs = self.last
        past = await recorded.past(self._parts.store, inputs.now)
        control = self._parts.control
        made = Recording(self._parts.site, control.decision, state, inputs, past)
        return await asyncio.to_thread(to_document, made)

    def _make(self) -> State:
        counts = self.counts
        return State(
            now=self._parts.now(),
            speed=self._parts.clock.speed(time.time()),
            feeds=tuple(self._feed(f.id) for f in self._parts.site.feed),
            ats=tuple(self._ats(a.id) for a in self._parts.site.ats),
            servers=tuple(self._server(s) for s in sorted(self._board.signatures)),
            workloads=tuple(
                WorkloadView(
                    id=w.id,
                    server=self._board.placement.get(w.id, w.server),
                    application=w.application,
                    movable=w.movable,
                )
                for w in self._parts.site.workload
            ),
            migrations=tuple(self._migration(i) for i in self._of(IntentKind.MOVE)),
            commands=tuple(_command(i) for i in self._of(IntentKind.TRANSFER)),
            events=tuple(
                EventView(at=e.at, severity=e.severity, kind=e.kind, text=e.text)
                for e in list(self._board.events)[:_EVENTS_SHOWN]
            ),
            risks=tuple(self.risks.values()),
            plan=self.plan,
            meters=self.meters,
            jobs=self.jobs,
            reaction_ms=_reaction(self._board.reactions_real_s),
            leader=self.leader,
            agents=tuple(self._agent(*pair) for pair in sorted(self._agents().items())),
            store=StoreView(
                samples=counts.samples,
                signatures=counts.signatures,
                lstm=counts.lstm,
                naive=counts.naive,
                rows=counts.rows,
            ),
        )

    def _of(self, kind: IntentKind) -> list[Intent]:
        return [i for i in self.intents.values() if i.kind is kind]

    def _load_w(self, feed: str) -> float:
        readings = [
            points.power_w(self._board.devices[p.id].readings)
            for p in self._parts.site.pdu
            if self._graph.feeds_of_node(p.id) == {feed} and p.id in self._board.devices
        ]
        return sum(readings) if readings else math.nan

    def _feed(self, feed: str) -> FeedView:
        limit = self._limits[feed]
        fan, worst = self.fans.get(feed, (None, None))
        return FeedView(
            id=feed,
            load_w=self._load_w(feed),
            limit_w=limit.base_w,
            limit_n1_w=limit.n1_w,
            history=tuple(self._history[feed]),
            forecast=fan,
            worst_n1=worst,
        )

    def _ats(self, name: str) -> AtsView:
        ats = next(a for a in self._parts.site.ats if a.id == name)
        seen = self._board.devices.get(name)
        readings = seen.readings if seen else {}
        return AtsView(
            id=name,
            rack=ats.rack,
            active=_source(readings.get(points.ACTIVE_SOURCE)),
            preferred=_source(readings.get(points.PREFERRED_SOURCE)),
            quality=seen.quality if seen else "missing",
            sources={"A": ats.source_a, "B": ats.source_b},
            load_w=self._behind_w(name),
            problem=seen.problem if seen else "not read yet",
        )

    def _behind_w(self, ats: str) -> float:
        """Power of the servers behind a switch; NaN where one was not measured."""
        behind = [s.id for s in self._parts.site.server if ats in s.cords]
        signatures = [self._board.signatures.get(name) for name in behind]
        return sum(s.power_w if s else math.nan for s in signatures)

    def _server(self, name: str) -> ServerView:
        s = self._board.signatures[name]
        f = self._board.forecasts.get(name)
        return ServerView(
            id=name,
            rack=self._racks.get(name, s.tags.rack),
            at=s.at,
            power_w=s.power_w,
            cords_w=s.cords_w,
            cpu_pct=s.values[_CPU],
            memory_used_pct=s.values[_MEMORY],
            inlet_temperature_c=s.values[_TEMPERATURE],
            quality=s.quality,
            application=s.tags.application,
            forecast_kind=f.kind if f else "",
            forecast_reason=f.reason if f else "",
            forecast_q50_w=f.quantiles_w[-1][1] if f else None,
        )

    def _migration(self, intent: Intent) -> MigrationView:
        what, seen = intent.what, self._board.moves.get(intent.id)
        return MigrationView(
            id=intent.id,
            workload=str(what.get("workload", "")),
            source=str(what.get("from", "")),
            target=str(what.get("to", "")),
            state="running" if intent.state is IntentState.ISSUED else intent.state,
            step=seen.step if seen and intent.state is IntentState.RUNNING else "",
            why=intent.result,
            duration_s=self._board.durations_real_s.get(intent.id),
        )

    def _agents(self) -> dict[str, str]:
        """Agent -> its rack."""
        reading = {name: rack for rack, name in self._board.racks.items()}
        return reading | self._board.agent_racks

    def _agent(self, name: str, rack: str) -> AgentView:
        return AgentView(
            id=name,
            rack=rack,
            connected=name in self._parts.agents.connected,
            last_seen=self._board.agents.get(name),
            reads=self._board.racks.get(rack) == name,
            monitoring="" if self._board.redundant.get(rack) else "monitoring not redundant",
        )


def _reaction(real_s: Sequence[float]) -> ReactionView:
    if not real_s:
        return ReactionView()
    p50, p99 = np.percentile(np.asarray(real_s) * 1000, (50, 99))
    return ReactionView(p50=float(p50), p99=float(p99), cycles=len(real_s))


def _command(intent: Intent) -> CommandView:
    what = intent.what
    return CommandView(
        id=intent.id,
        token=intent.token,
        ats=str(what.get("ats", "")),
        from_source=str(what.get("from", "")),
        to_source=str(what.get("to", "")),
        state=intent.state,
        verified=intent.state is IntentState.DONE,
        why=intent.result,
    )


def _source(reading: float | None) -> str:
    if reading is None or not math.isfinite(reading):
        return "unknown"
    return _SOURCES.get(round(reading), "none")
