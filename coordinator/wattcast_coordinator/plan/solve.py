"""From an instance to the cheapest plan whose every state was checked, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.plan.explain import explain_plan, explain_refusal, reasons
from wattcast_coordinator.plan.greedy import Greedy
from wattcast_coordinator.plan.improve import prune, search, tear
from wattcast_coordinator.plan.problem import ROUNDING_W, Problem, prepare
from wattcast_coordinator.plan.schedule import Schedule, Scheduler
from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import Instance

_FRESH = 6  # repairs of the room as it is
_REPAIRS = 40  # then of the best of them with some actions taken back
_EFFORTS = 4  # attempts that are scheduled when none is within limits
_IDLE_ROUNDS = 30  # without a cheaper plan end the search
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
    for attempt in range(_FRESH + _REPAIRS):
        if attempts and deadline():
            break
        state = State(problem)
        if attempt >= _FRESH:
            state = min(attempts, key=State.excess_w).copy()
            tear(state, rng, most=12)
        noise = 0.0 if attempt == 0 else 0.2 + 0.1 * (attempt % _FRESH)
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
    """Schedule a goal; None if what can be done of it in time is not within limits."""
    schedule = Scheduler(state.problem, state, state.problem.deadline_s).run()
    reached = _outcome(state.problem, schedule)
    return None if reached.excess_w() > 0 else _Checked(reached, schedule)


def _outcome(problem: Problem, schedule: Schedule) -> State:
    """The state that a schedule ends in, loads added up afresh."""
    state = State(problem)
    for workload, server, _ in schedule.moves:
        state.move(workload, server)
    for index, _ in schedule.transfers:
        state.flip(index)
    return state


def _best_effort(problem: Problem, start: State, attempts: list[State]) -> Solution:
    """What relieves most without making anything worse at any step; nothing if that is nothing."""
    horizon_s = problem.soft_w.shape[1] * problem.instance.step_s
    goals = sorted(attempts, key=State.excess_w)[:_EFFORTS]
    schedules = [Scheduler(problem, goal, horizon_s).run() for goal in goals]
    reached = [_outcome(problem, schedule) for schedule in schedules]
    best = min(range(len(goals)), key=lambda at: _node_excess_w(reached[at]))
    why = explain_refusal(start, goals[best], schedules[best])
    if _node_excess_w(reached[best]) >= _node_excess_w(start) - 1:
        return _solution(start, start, Schedule((), (), 0.0, (), ()), why)
    return _solution(start, reached[best], schedules[best], why)


def _solution(start: State, goal: State, schedule: Schedule, why: tuple[str, ...]) -> Solution:
    """The answer for a goal reached by a schedule."""
    problem = start.problem
    rows, source = problem.rows, problem.instance.ats_source
    moves = sorted(schedule.moves, key=lambda move: move[2])
    flips = sorted(schedule.transfers, key=lambda flip: flip[1])
    nodes = [(int(rows.ats[index]), start_s) for index, start_s in flips]
    count = len(problem.instance.wl_server)
    return Solution(
        moves=tuple(moves),
        ats=tuple((node, int(1 - source[node]), start_s) for node, start_s in nodes),
        makespan_s=schedule.makespan_s,
        feasible=goal.excess_w() <= 0 and not len(problem.fixed),
        excess_before_w=_node_excess_w(start),
        excess_after_w=_node_excess_w(goal),
        cost=goal.cost(),
        why=why,
        reasons=reasons(start, [*(move[0] for move in moves), *(count + i for i, _ in flips)]),
    )


def _node_excess_w(state: State) -> float:
    """Watts over limits from lead_s on, each node at its worst step and case, added up."""
    problem = state.problem
    over_w = state.load_w[:, problem.first_strict :] - problem.rows.limit_w[:, None]
    worst_w = np.zeros(len(problem.instance.node_parent))
    np.maximum.at(worst_w, problem.rows.node, over_w.max(1, initial=0.0))
    return float(worst_w[worst_w > ROUNDING_W].sum())
