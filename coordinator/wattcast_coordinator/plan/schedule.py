"""List scheduling: each action starts as soon as everything it meets on its way is safe."""

from dataclasses import dataclass, field

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.plan.timeline import Timeline

_GAP_S = 0.001  # between a completion and the next start, so that rounding cannot reorder them


@dataclass(frozen=True, slots=True)
class Schedule:
    """Started actions with their start in seconds, and what could not be started in time."""

    moves: tuple[tuple[int, int, float], ...]
    transfers: tuple[tuple[int, float], ...]
    makespan_s: float
    left_moves: tuple[int, ...]
    left_transfers: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether every action found its place."""
        return not self.left_moves and not self.left_transfers


@dataclass(slots=True)
class _Flight:
    """A move under way."""

    end_s: float
    workload: int
    server: int


@dataclass(slots=True)
class Scheduler:
    """Brings the present state to a goal; ``end_s`` is how long unfinished states may last."""

    problem: Problem
    goal: State
    end_s: float
    _now: State = field(init=False)
    _line: Timeline = field(init=False)
    _flights: list[_Flight] = field(default_factory=list)
    _moves: list[tuple[int, int, float]] = field(default_factory=list)
    _transfers: list[tuple[int, float]] = field(default_factory=list)
    _left: list[int] = field(init=False)
    _flips: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._now = State(self.problem)
        self._line = Timeline(self.problem, self._now, self.end_s)
        moved = self.goal.moved()
        self._left = [int(w) for w in moved[np.argsort(-self.problem.duration_s[moved])]]
        self._flips = [int(index) for index in np.flatnonzero(self.goal.flipped)]

    def run(self) -> Schedule:
        """Start actions until none is left or none can be started in time."""
        now_s: float | None = 0.0
        while now_s is not None:
            self._start_all(now_s)
            now_s = self._next_time(now_s) if self._left or self._flips else None
        ends = [start_s + self.problem.duration_s[w] for w, _, start_s in self._moves]
        return Schedule(
            tuple(self._moves),
            tuple(self._transfers),
            float(max([0.0, *ends, *(start_s for _, start_s in self._transfers)])),
            tuple(self._left),
            tuple(self._flips),
        )

    def _start_all(self, now_s: float) -> None:
        """Start what can start now, again and again while something did."""
        progress = True
        while progress:
            started = self._start_moves(now_s)
            flipped = [index for index in self._flips if self._start_transfer(index, now_s)]
            self._left = [w for w in self._left if w not in started]
            self._flips = [index for index in self._flips if index not in flipped]
            progress = bool(flipped) or (bool(started) and bool(self._flips))

    def _start_moves(self, now_s: float) -> list[int]:
        started = []
        for workload in self._left:
            if len(self._flights) >= self.problem.instance.max_parallel:
                break
            if self._start_move(workload, now_s):
                started.append(workload)
        return started

    def _next_time(self, now_s: float) -> float | None:
        """When trying again makes sense: after the next completion, or in the next step."""
        if self._line.ends_s:
            return self._complete()
        step_s = self.problem.instance.step_s
        following_s = (now_s // step_s + 1) * step_s
        return following_s if following_s < self.problem.deadline_s else None

    def _complete(self) -> float:
        """Let the next move arrive; returns when the next action may start."""
        end_s = self._line.advance()
        flight = min(self._flights, key=lambda one: one.end_s)
        self._flights.remove(flight)
        self._hold(flight, 1)
        self._now.move(flight.workload, flight.server)
        return float(np.ceil((end_s + _GAP_S) * 1000) / 1000)

    def _start_move(self, workload: int, now_s: float) -> bool:
        server, source = int(self.goal.placed[workload]), int(self._now.placed[workload])
        end_s = now_s + float(self.problem.duration_s[workload])
        if end_s > self.problem.deadline_s or not self._has_room(workload, server, source):
            return False
        if not self._line.start_move(workload, server, source, now_s):
            return False
        flight = _Flight(end_s, workload, server)
        self._flights.append(flight)
        self._hold(flight, -1)
        self._moves.append((workload, server, now_s))
        return True

    def _start_transfer(self, index: int, now_s: float) -> bool:
        """Transfer unless a move under way touches a server behind the ATS."""
        behind = self.problem.rows.ats_servers[index]
        ends = [s for f in self._flights for s in (f.server, self._now.placed[f.workload])]
        if now_s > self.problem.deadline_s or np.isin(ends, behind).any():
            return False
        if not self._line.start_transfer(index, self._now, now_s):
            return False
        self._transfers.append((index, now_s))
        return True

    def _hold(self, flight: _Flight, sign: int) -> None:
        """Reserve (-1) or release (1) a destination's capacity."""
        instance = self.problem.instance
        self._now.free_cpu[flight.server] += sign * instance.wl_cpu[flight.workload]
        self._now.free_mem[flight.server] += sign * instance.wl_mem[flight.workload]
        if len(self._now.cooling_w):
            heat_w = instance.server_eff[flight.server] * instance.wl_w[flight.workload]
            self._now.cooling_w[instance.server_rack[flight.server]] += sign * heat_w

    def _has_room(self, workload: int, server: int, source: int) -> bool:
        """Parallel limits, capacity and groups, with everything in flight at both ends."""
        instance = self.problem.instance
        ends = [s for f in self._flights for s in (f.server, int(self._now.placed[f.workload]))]
        ends += [server, source]
        racks = instance.server_rack[ends].tolist()
        return bool(
            max(map(ends.count, ends[-2:])) <= instance.max_parallel_server
            and max(map(racks.count, racks[-2:])) <= instance.max_parallel_rack
            and self._now.accepts(workload, np.array([server]))[0]
            and not self._meets_group(workload, server)
        )

    def _meets_group(self, workload: int, server: int) -> bool:
        """Whether a member of one of its groups is in the way while it moves."""
        anti, quorum = self.problem.instance.wl_anti, self.problem.instance.wl_quorum
        return any(
            (flight.server == server and anti[workload] == anti[flight.workload] >= 0)
            or quorum[workload] == quorum[flight.workload] >= 0
            for flight in self._flights
        )
