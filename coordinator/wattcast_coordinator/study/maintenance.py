"""Taking something out of service for some hours: go or no-go, what to move, when to stop."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.aggregate.two_cords import two_cords
from wattcast_coordinator.plan import Solution, solve
from wattcast_coordinator.ports import Inputs, Move
from wattcast_coordinator.study import days
from wattcast_coordinator.study.judged import (
    Headroom,
    Judged,
    described,
    excess,
    judge,
    placed,
    resolve,
)
from wattcast_coordinator.study.recording import Recording
from wattcast_coordinator.study.window import Window
from wattcast_coordinator.topology import graph as graphs
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.errors import ConfigError

LOOK_AHEAD = timedelta(hours=24)  # beyond the window: until when a late return is harmless
MARGIN = 0.02  # plans aim so far below limits
_MOST_MOVES = 60
_ROUNDS = 20  # of the planner's search
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer.

    Attributes:
        window: what was asked.
        go: whether it may be done, the moves included.
        against: why not; empty if go.
        before, after: moves before the window, and back after it.
        latest_return: when the next loss would find too little left; None = not within a day
            after the window.
        headroom: of the feeds during the window, moves included.
        abort: criteria during the window, a line each.
        other_begins: begins of windows of the same length that need no moves, earliest first.
        bare: what stands on its last cord meanwhile: further losses that would leave servers dark.
            That is what taking a path out of service means; it is told, and no reason against.
        notes: what the answer rests on.
    """

    window: Window
    go: bool
    against: tuple[str, ...]
    before: tuple[Move, ...]
    after: tuple[Move, ...]
    latest_return: datetime | None
    headroom: tuple[Headroom, ...]
    abort: tuple[str, ...]
    other_begins: tuple[datetime, ...]
    bare: tuple[str, ...]
    notes: tuple[str, ...]


def decide(recording: Recording, asked: Window, *, next_loss: bool = True) -> Decided:
    """Judge a window, find moves if it needs any, and say when to stop.

    Args:
        recording: the room, with its past.
        asked: the window.
        next_loss: whether the room must also bear any further single loss meanwhile.

    Raises:
        ConfigError: the element is not in the site, or the window lies in the past.
    """
    graph = graphs.build(recording.site)
    window = replace(asked, element=resolve(asked.element, graph))
    if window.begin < recording.inputs.now:
        raise ConfigError(
            f"--maintenance: {window.begin:%Y-%m-%d %H:%M} UTC lies before the recording's time,"
            f" {recording.inputs.now:%Y-%m-%d %H:%M} UTC"
        )
    case = _Case(recording, graph, window, next_loss=next_loss)
    return case.decided()


class _Case:
    """One window over one room; hours count from the begin of the window's first hour."""

    def __init__(
        self, recording: Recording, graph: Graph, window: Window, *, next_loss: bool
    ) -> None:
        self._recording, self._graph, self._window = recording, graph, window
        self._next_loss = next_loss
        self._begin = days.hour_floor(window.begin)
        hours = window.hours + int(LOOK_AHEAD.total_seconds() // 3600)
        self._inputs, self._decision = _ahead(recording, self._begin, hours)
        self._standing = _standing(recording, graph)
        self._out = frozenset({window.element}) | frozenset(recording.state.lost)
        self._whole = judge(graph, self._inputs, self._decision, self._standing, self._out)
        self._during = self._cut(self._whole, window.hours)
        before = frozenset(recording.state.lost)
        intact = judge(graph, self._inputs, self._decision, self._standing, before)
        self._intact = self._cut(intact, window.hours)

    def decided(self) -> Decided:
        """The whole answer."""
        against = self._against(self._during)
        moves: tuple[Move, ...] = ()
        room, whole = self._during, self._whole
        if against:
            solution = self._moves()
            if solution is not None and solution.moves:
                placement = _placement(room, solution)
                room, whole = placed(room, placement), placed(whole, placement)
                against = self._against(room)
                moves = _named(self._during, solution, f"before {self._window.element} goes out")
        go = not against
        moves = moves if go else ()
        back = tuple(
            Move(m.workload, m.target, m.source, 0.0, f"{self._window.element} is back")
            for m in reversed(moves)
        )
        return Decided(
            window=self._window,
            go=go,
            against=against,
            before=moves,
            after=back,
            latest_return=self._latest_return(whole) if go else None,
            headroom=room.headroom(),
            abort=self._abort(room, whole) if go else (),
            other_begins=() if go and not moves else self._other_begins(),
            bare=self._bare(),
            notes=self._notes(),
        )

    def _against(self, room: Judged) -> tuple[str, ...]:
        """What speaks against the window, worst first."""
        graph = self._graph
        lines = [
            f"{', '.join(dark[:_SHOWN])} {_more(dark)}would go dark: shut them down, or feed them"
            " otherwise, first"
            for dark in [tuple(s for s in room.dark() if s not in self._intact.dark())]
            if dark
        ]
        over = sorted(room.over(), key=excess, reverse=True)
        as_it_stands = dict.fromkeys(described(o, graph) for o in over if not o.contingency)
        after_a_loss = dict.fromkeys(described(o, graph) for o in over if o.contingency)
        lines += list(as_it_stands)[:_SHOWN]
        if self._next_loss:
            lines += list(after_a_loss)[:_SHOWN]
        return tuple(lines)

    def _moves(self) -> Solution | None:
        """Moves that bring everything within limits during the window, done an hour before it."""
        instance = _outage(self._during, next_loss=self._next_loss)
        solution = solve(two_cords(instance), deadline=_Rounds(_ROUNDS))
        if not solution.feasible or not self._safe_before(solution):
            return None
        return solution

    def _safe_before(self, solution: Solution) -> bool:
        """Whether the room, everything still in service, stays as good after each move."""
        intact = self._intact
        worst = max(map(excess, intact.over()), default=0.0)
        placement = intact.problem.instance.wl_server.copy()
        for workload, server, _ in solution.moves:
            placement[workload] = server
            after = placed(intact, placement).over()
            if max(map(excess, after), default=0.0) > worst + 1e-6:
                return False
        return True

    def _latest_return(self, whole: Judged) -> datetime | None:
        """First hour after the begin that the outage would not be borne in."""
        hours = []
        for over in whole.over():
            if self._next_loss or not over.contingency:
                beyond = np.flatnonzero(over.load > over.limit * (1 + 1e-9))
                hours += [int(h) for h in beyond if h >= self._window.hours]
        if not hours:
            return None
        return self._begin + timedelta(hours=min(hours))

    def _abort(self, room: Judged, whole: Judged) -> tuple[str, ...]:
        """When to bring it back at once."""
        element = self._window.element
        lines = [
            f"feed {h.feed} above {h.load_w + max(h.left_w, 0):.0f} W (expected at most"
            f" {h.load_w:.0f} W): then the next loss, or the feed itself, would be over its limit"
            for h in room.headroom()
        ]
        late = self._latest_return(whole)
        if late:
            lines.append(f"{element} cannot be back by {late:%Y-%m-%d %H:%M} UTC")
        return (
            *lines,
            "any other feed, UPS, generator or breaker fails or goes to bypass or battery",
            "the meters of a feed in service are not read for three cycles",
        )

    def _other_begins(self) -> tuple[datetime, ...]:
        """Hours of the day before the window to the day after in which it needs no moves."""
        length = self._window.hours
        first = max(days.hour_floor(self._recording.inputs.now) + timedelta(hours=1),
                    self._begin - timedelta(hours=24))  # fmt: skip
        hours = 48 + length
        inputs, decision = _ahead(self._recording, first, hours)
        whole = judge(self._graph, inputs, decision, self._standing, self._out)
        if not inputs.forecasts or whole.dark() != self._intact.dark():
            return ()  # the hour does not matter
        bad = np.zeros(hours)
        for over in whole.over():
            if self._next_loss or not over.contingency:
                bad = np.maximum(bad, over.load / over.limit - 1)
        worst = np.lib.stride_tricks.sliding_window_view(bad, length).max(axis=1)[:48]
        best = [int(k) for k in np.argsort(worst, kind="stable") if worst[k] <= 0][:3]
        return tuple(first + timedelta(hours=k) for k in sorted(best))

    def _bare(self) -> tuple[str, ...]:
        usual = self._intact.darkened()
        more = {k: n for k, n in self._during.darkened().items() if n > usual.get(k, 0)}
        worst = sorted(more.items(), key=lambda item: -item[1])[:_SHOWN]
        return tuple(f"the further loss of {k} would leave {n} servers dark" for k, n in worst)

    def _notes(self) -> tuple[str, ...]:
        past = self._recording.past
        known = days.days_known(past) if past else 0
        if known < days.LEAST_DAYS:
            seen = f"less than {days.LEAST_DAYS} days were" if past else "nothing was"
            basis = f"{seen} measured: every server counts with its full power"
        else:
            basis = (
                f"loads are those of the same hours of {known} past days, at quantile"
                f" {self._decision.base_quantile:g} as it stands and"
                f" {self._decision.n1_quantile:g} after a further loss"
            )
        without = () if self._next_loss else ("a further loss during the window is not judged",)
        missing = self._during.problem.unknown
        unknown = (f"never measured, counted with full power: {', '.join(missing[:_SHOWN])}",)
        return (basis, *without, *(unknown if missing and known else ()))

    def _cut(self, judged: Judged, hours: int) -> Judged:
        """Over the first hours only."""
        instance = judged.problem.instance
        short = replace(instance, wl_w=instance.wl_w[:, :hours], growth=instance.growth[:hours])
        problem = replace(judged.problem, instance=short)
        return placed(replace(judged, problem=problem), instance.wl_server)


class _Rounds:
    """A deadline in rounds of search: the same on every machine."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def _ahead(recording: Recording, begin: datetime, hours: int) -> tuple[Inputs, Decision]:
    """Inputs and settings of a cycle whose forecasts reach over those hours."""
    past = recording.past
    forecasts = days.forecasts(past, begin, hours) if past else {}
    inputs = replace(
        recording.inputs,
        now=begin,
        speed=1.0,
        forecasts=forecasts,
        signatures={},
        recent_w=dict(days.recent(past)) if past else {},
        moves=(),
        results=(),
    )
    decision = replace(
        recording.decision, step_s=days.HOUR_S, max_moves=_MOST_MOVES, max_transfers=0
    )
    return inputs, decision


def _standing(recording: Recording, graph: Graph) -> Standing:
    """Switches as last read; only what people have frozen is frozen."""
    return Standing(
        ats=recording.state.ats,
        frozen=frozenset(f.id for f in graph.site.feed if f.mode == "observe"),
    )


def _outage(room: Judged, *, next_loss: bool) -> Instance:
    """A planning problem with the outage in it and an hour before it to move in."""
    problem, graph = room.problem, room.graph
    instance, matrices = problem.instance, room.room.room.matrices
    live = matrices.feeding.live[:, 0]
    cord = np.where((instance.server_cord >= 0) & live[instance.server_cord],
                    instance.server_cord, -1)  # fmt: skip
    parent, alt = _rewired(graph, live)
    names = room.room.room.contingencies
    single = {
        graph.node[names[case - 1].lose[0]]
        for case in np.unique(matrices.case[matrices.kept]).tolist()
        if len(names[case - 1].lose) == 1
    }
    lost = sorted(node for node in single if live[node]) if next_loss else []
    limits = room.room.single.limits
    return replace(
        instance,
        node_parent=parent,
        node_alt=alt,
        ats_source=np.where(alt >= 0, instance.ats_source, 0),
        ats_cost=np.full(len(parent), np.inf),
        server_cord=cord,
        server_share=np.where(cord >= 0, instance.server_share, 0.0),
        contingency=np.array(lost, dtype=np.int64),
        limit_base_w=limits.base_w * (1 - MARGIN),
        limit_n1_w=limits.n1_w * (1 - MARGIN),
        wl_w=np.hstack([instance.wl_w[:, :1], instance.wl_w]),
        growth=np.append(instance.growth[:1], instance.growth),
        lead_s=instance.step_s,
        max_ats=0,
    )


def _rewired(graph: Graph, live: np.ndarray) -> tuple[IntArray, IntArray]:
    """Parents with the dead sources of switches taken out."""
    parent, alt = graph.parent.copy(), graph.alt.copy()
    for node in np.flatnonzero(alt >= 0):
        if not live[parent[node]]:
            parent[node], alt[node] = alt[node], -1
        elif not live[alt[node]]:
            alt[node] = -1
    return parent, alt


def _placement(room: Judged, solution: Solution) -> IntArray:
    placement = room.problem.instance.wl_server.copy()
    for workload, server, _ in solution.moves:
        placement[workload] = server
    return placement


def _named(room: Judged, solution: Solution, why: str) -> tuple[Move, ...]:
    problem, servers = room.problem, room.graph.servers
    return tuple(
        Move(
            problem.workloads[workload],
            servers[int(problem.instance.wl_server[workload])],
            servers[server],
            start_s,
            why,
        )
        for workload, server, start_s in solution.moves
    )


def _more(names: tuple[str, ...]) -> str:
    return f"and {len(names) - _SHOWN} more " if len(names) > _SHOWN else ""
