"""From an instance to the cheapest plan that was proved, or a refusal that explains itself."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from wattcast_coordinator.plan.explain import explain_refusal
from wattcast_coordinator.plan.greedy import Greedy
from wattcast_coordinator.plan.problem import ROUNDING_W, Problem, prepare
from wattcast_coordinator.plan.prune import prune
from wattcast_coordinator.plan.schedule import Schedule, Scheduler
from wattcast_coordinator.plan.search import CORE, Search
from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.plan.verify import Verifier
from wattcast_coordinator.topology.instance import Instance

PATIENCE = 8  # rounds without a cheaper goal that end the search
WIDE = 300  # actions in a mixed-integer search
_ATTEMPTS = 40  # goals tried when none is within all limits
_EFFORTS = 3  # of them scheduled for a best effort; and cheap goals, if one cannot be scheduled
_NOTHING = ("every node stays within its limits, intact and after every loss: nothing to do",)
_CURED = "moves and transfers bring every node within its limits"
_NO_SCHEDULE = Schedule((), (), 0.0, (), ())


def never() -> bool:
    """A deadline that does not come."""
    return False


def solve(
    instance: Instance,
    *,
    deadline: Callable[[], bool] = never,
    rng: np.random.Generator | None = None,
    patience: int = PATIENCE,
    polish_s: float = 0.0,
) -> Solution:
    """Find moves and transfers that bring every node within limits from lead_s on.

    Args:
        instance: the problem.
        deadline: asked before every round of search but the first, and before every action of a
            repair; once True, the best goal so far is scheduled and proved. Between two questions
            some 3 ms pass for 1000 servers.
        rng: for the search; a fixed seed if None.
        patience: rounds without a cheaper goal that end the search; 0 = take the first.
        polish_s: seconds given to each round of a mixed-integer search afterwards; 0 = none. Its
            answers are placed, scheduled and proved like all others.
    """
    problem = prepare(instance)
    start, verifier = State(problem), Verifier(instance, problem.network)
    if start.excess_w() <= 0:
        solution = _nothing_to_do(start, verifier)
    else:
        rng = np.random.default_rng(0) if rng is None else rng
        search = Search(start, rng, WIDE if polish_s else CORE)
        run = _Run(start, verifier, search, deadline, rng)
        plan = run.plan(patience, polish_s)
        solution = _answer(start, plan) if plan else run.best_effort()
        solution = replace(solution, bound=max(run.search.bound, 0.0))
    return replace(solution, standing=verifier.standing)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The state that a proved schedule leads to."""

    goal: State
    schedule: Schedule


@dataclass(slots=True)
class _Run:
    """One search for a plan: goals are sought, scheduled and proved."""

    start: State
    verifier: Verifier
    search: Search
    deadline: Callable[[], bool]
    rng: np.random.Generator
    attempts: list[State] = field(default_factory=list)

    def plan(self, patience: int, polish_s: float) -> _Plan | None:
        """The cheapest goal found that can be scheduled and proved."""
        for attempt in range(_ATTEMPTS):
            if attempt and self.deadline():
                break
            goal = self._construct(attempt)
            self.attempts.append(goal)
            if goal.excess_w() > 0:
                continue
            goals = self._cheaper(goal, patience)
            if polish_s:
                goals += self._polished(goals[-1], polish_s)
            cheap = goals[:0:-1][: _EFFORTS - 1]
            plans = (self._prove(one) for one in (*cheap, goals[0]))
            plan = next((plan for plan in plans if plan), None)
            if plan:
                return plan
        return None

    def _construct(self, attempt: int) -> State:
        """A goal from nothing, repaired where it falls short."""
        goal = self.search.construct(attempt)
        if goal.excess_w() > 0:
            places = self.search.destinations
            Greedy(goal, places, self.deadline, noise=0.1 * attempt, rng=self.rng).run()
        prune(goal)
        return goal

    def _cheaper(self, goal: State, patience: int) -> list[State]:
        """Goals within all limits, each cheaper than the one before."""
        goals, idle = [goal], 0
        while idle < patience and not self.deadline():
            idle += 1
            other = self.search.improve(goals[-1])
            if other is None or other.excess_w() > 0:
                continue
            prune(other)
            if other.cost() < goals[-1].cost() - 1e-9:
                goals.append(other)
                idle = 0
        return goals

    def _polished(self, goal: State, seconds: float) -> list[State]:
        """Goals of a mixed-integer search, each cheaper than the one before."""
        goals: list[State] = []
        while not self.deadline():
            best = goals[-1] if goals else goal
            other = self.search.polish(best, seconds)
            if other is None or other.excess_w() > 0:
                break
            prune(other)
            if other.cost() >= best.cost() - 1e-9:
                break
            goals.append(other)
        return goals

    def _prove(self, goal: State) -> _Plan | None:
        """Schedule a goal; None if what can be done of it in time is not within all limits.

        Nodes that nothing can bring within their limit are only kept from getting worse.
        """
        problem = self.start.problem
        schedule = Scheduler(problem, goal, problem.deadline_s).run()
        reached, cure = _outcome(problem, schedule), not len(problem.fixed)
        transfers = _transfers(problem, schedule)
        if reached.excess_w() > 0 or self.verifier.faults(schedule.moves, transfers, cure=cure):
            return None
        return _Plan(reached, schedule)

    def best_effort(self) -> Solution:
        """What relieves most without making anything worse at any step; nothing if that is none."""
        start, problem = self.start, self.start.problem
        horizon_s = problem.soft_w.shape[1] * problem.instance.step_s
        goals = sorted(self.attempts, key=State.excess_w)[:_EFFORTS]
        schedules = [Scheduler(problem, goal, horizon_s).run() for goal in goals]
        why = explain_refusal(start, goals[0], schedules[0])
        plans = [_Plan(start, _NO_SCHEDULE)]
        for schedule in schedules:
            transfers = _transfers(problem, schedule)
            if not self.verifier.faults(schedule.moves, transfers, cure=False):
                plans.append(_Plan(_outcome(problem, schedule), schedule))
        best = min(plans, key=lambda plan: round(_node_excess_w(plan.goal)))
        return _solution(start, best, why)


def _answer(start: State, plan: _Plan) -> Solution:
    """A proved plan in words; nodes that nothing can cure make it a refusal."""
    if len(start.problem.fixed):
        return _solution(start, plan, explain_refusal(start, plan.goal, plan.schedule))
    return _solution(start, plan, (_CURED,))


def _nothing_to_do(start: State, verifier: Verifier) -> Solution:
    plan = _Plan(start, _NO_SCHEDULE)
    if len(start.problem.fixed):
        return _solution(start, plan, explain_refusal(start, start, _NO_SCHEDULE))
    faults = verifier.faults((), ())
    return replace(_solution(start, plan, faults or _NOTHING), feasible=not faults)


def _outcome(problem: Problem, schedule: Schedule) -> State:
    """The state that a schedule ends in, loads added up afresh."""
    state = State(problem)
    for workload, server, _ in schedule.moves:
        state.move(workload, server)
    for index, _ in schedule.transfers:
        state.flip(index)
    return state


def _transfers(problem: Problem, schedule: Schedule) -> tuple[tuple[int, int, float], ...]:
    """(node, source, start_s) of each transfer, by start."""
    flips = sorted(schedule.transfers, key=lambda flip: flip[1])
    nodes = [(int(problem.rows.ats[index]), start_s) for index, start_s in flips]
    return tuple((n, int(1 - problem.instance.ats_source[n]), start_s) for n, start_s in nodes)


def _solution(start: State, plan: _Plan, why: tuple[str, ...]) -> Solution:
    """The answer in terms of the instance."""
    problem, goal, schedule = start.problem, plan.goal, plan.schedule
    moves = tuple(sorted(schedule.moves, key=lambda move: move[2]))
    return Solution(
        moves=moves,
        ats=_transfers(problem, schedule),
        makespan_s=schedule.makespan_s,
        feasible=goal.excess_w() <= 0 and not len(problem.fixed),
        excess_before_w=_node_excess_w(start),
        excess_after_w=_node_excess_w(goal),
        cost=goal.cost(),
        why=why,
    )


def _node_excess_w(state: State) -> float:
    """Watts over limits from lead_s on, each node at its worst step and case, added up."""
    problem = state.problem
    over_w = state.load_w[:, problem.first_strict :] - problem.rows.limit_w[:, None]
    worst_w = np.zeros(len(problem.instance.node_parent))
    np.maximum.at(worst_w, problem.rows.node, over_w.max(1, initial=0.0))
    return float(worst_w[worst_w > ROUNDING_W].sum())
