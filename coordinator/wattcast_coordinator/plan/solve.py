"""From an instance to the cheapest plan whose every state was checked, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.plan.explain import explain_plan, explain_refusal
from wattcast_coordinator.plan.greedy import Greedy
from wattcast_coordinator.plan.improve import prune, search, take_back
from wattcast_coordinator.plan.problem import ROUNDING_W, Problem, prepare
from wattcast_coordinator.plan.schedule import Schedule, Scheduler
from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import Instance

_RESTARTS = 24
_IDLE_ROUNDS = 20
_NOTHING = ("every node stays within its limits, intact and after every loss: nothing to do",)


def never() -> bool:
    """A deadline that does not come."""
    return False


@dataclass(frozen=True, slots=True)
class _Checked:
    """A goal and the schedule that leads there safely."""

    state: State
    schedule: Schedule


def solve(
    instance: Instance,
    *,
    deadline: Callable[[], bool] = never,
    rng: np.random.Generator | None = None,
    polish: bool = True,
) -> Solution:
    """Find moves and transfers that bring every node within limits from lead_s on.

    Args:
        instance: the problem.
        deadline: asked before every round of search but the first; once True, the best plan so
            far is returned. A round is one repair: some 5 ms for 40 servers, 50 ms for 1000.
        rng: for restarts and the search for cheaper plans; a fixed seed if None.
        polish: whether to search on for a cheaper plan once one is found.
    """
    problem = prepare(instance)
    start = State(problem)
    nothing = Schedule((), (), 0.0, (), ())
    if start.excess_w() <= 0:
        why = explain_refusal(start, start, nothing) if len(problem.fixed) else _NOTHING
        return _solution(start, start, nothing, why)
    rng = np.random.default_rng(0) if rng is None else rng
    found, attempts = _first(problem, deadline, rng)
    if found is None:
        return _best_effort(problem, start, attempts)
    if polish:
        found = _cheaper(found, deadline, rng)
    why = explain_plan(start, found.state)
    if len(problem.fixed):
        why = explain_refusal(start, found.state, found.schedule)
    return _solution(start, found.state, found.schedule, why)


def _first(
    problem: Problem, deadline: Callable[[], bool], rng: np.random.Generator
) -> tuple[_Checked | None, list[State]]:
    """The first plan that can be scheduled, and the states that attempts led to."""
    attempts: list[State] = []
    for attempt in range(_RESTARTS):
        if attempts and deadline():
            break
        state = State(problem)
        noise = 0.0 if attempt == 0 else 0.2 + 0.1 * attempt
        Greedy(state, noise=noise, rng=rng).run()
        prune(state)
        attempts.append(state)
        checked = None if state.excess_w() > 0 else _check(state)
        if checked:
            return checked, attempts
    return None, attempts


def _cheaper(found: _Checked, deadline: Callable[[], bool], rng: np.random.Generator) -> _Checked:
    """The cheapest plan that further search finds and that can be scheduled."""
    better = search(found.state, rng, deadline, rounds=_IDLE_ROUNDS)
    if better is not found.state:
        checked = _check(better)
        if checked:
            return checked
    return found


def _check(state: State) -> _Checked | None:
    """Schedule a goal; None if an action cannot be done in time or the loads were inexact."""
    schedule = Scheduler(state.problem, state, state.problem.deadline_s).run()
    reached = _reached(state, schedule)
    if reached is None or _replayed(reached).excess_w() > 0:
        return None
    return _Checked(reached, schedule)


def _reached(goal: State, schedule: Schedule) -> State | None:
    """The state a schedule ends in; None if what it leaves out cannot be undone in the goal."""
    reached = goal.copy()
    for workload in schedule.left_moves:
        if not take_back(reached, workload):
            return None
    for index in schedule.left_transfers:
        reached.flip(index)
    return reached


def _replayed(state: State) -> State:
    """The same goal with loads added up afresh."""
    fresh = State(state.problem)
    for workload in state.moved():
        fresh.move(int(workload), int(state.placed[workload]))
    for index in np.flatnonzero(state.flipped):
        fresh.flip(int(index))
    return fresh


def _best_effort(problem: Problem, start: State, attempts: list[State]) -> Solution:
    """What relieves most without making anything worse at any step; nothing if that is nothing."""
    goal = min(attempts, key=State.excess_w)
    horizon_s = problem.soft_w.shape[1] * problem.instance.step_s
    schedule = Scheduler(problem, goal, horizon_s).run()
    reached = _reached(goal, schedule)
    why = explain_refusal(start, goal, schedule)
    if reached is None or _node_excess_w(reached) >= _node_excess_w(start) - 1:
        nothing = Schedule((), (), 0.0, (), ())
        return _solution(start, start, nothing, why)
    return _solution(start, reached, schedule, why)


def _solution(start: State, goal: State, schedule: Schedule, why: tuple[str, ...]) -> Solution:
    """The answer for a goal reached by a schedule."""
    rows, source = start.problem.rows, start.problem.instance.ats_source
    transfers = [
        (int(rows.ats[index]), int(1 - source[rows.ats[index]]), start_s)
        for index, start_s in schedule.transfers
    ]
    return Solution(
        tuple(sorted(schedule.moves, key=lambda move: move[2])),
        tuple(sorted(transfers, key=lambda transfer: transfer[2])),
        schedule.makespan_s,
        goal.excess_w() <= 0 and not len(start.problem.fixed),
        _node_excess_w(start),
        _node_excess_w(goal),
        goal.cost(),
        why,
    )


def _node_excess_w(state: State) -> float:
    """Watts over limits from lead_s on, each node at its worst step and case, added up."""
    problem = state.problem
    over_w = state.load_w[:, problem.first_strict :] - problem.rows.limit_w[:, None]
    worst_w = np.zeros(len(problem.instance.node_parent))
    np.maximum.at(worst_w, problem.rows.node, over_w.max(1, initial=0.0))
    return float(worst_w[worst_w > ROUNDING_W].sum())
