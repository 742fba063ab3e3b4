"""What a plan does and why, for machines and for people; made from the instance and the plan alone.

Nothing here decides: the plan is looked at again, next to what else could have been done.
"""

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.plan.explain import row_name
from wattcast_coordinator.plan.place import Pool, by_spare, energy_cost
from wattcast_coordinator.plan.problem import Problem, prepare
from wattcast_coordinator.plan.relief import Relief
from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.plan.verify import Verifier
from wattcast_coordinator.topology.instance import Instance

_NODES = 12  # told of at most
_CENT = 0.005  # money that rounds to nothing
_TIGHT = 0.98  # of a limit: a node that the plan brings so close is told of as well


@dataclass(frozen=True, slots=True)
class NodeRisk:
    """One node at its worst step and loss.

    Attributes:
        node: index; ``name`` tells its kind and the loss.
        lost: the node that is lost, -1 = none.
        step: of the horizon, in which it is worst; ``limit_w`` counts then.
        before_w, after_w: planning quantile without and with the plan.
        p_before, p_after: probability of more than the limit.
    """

    name: str
    node: int
    lost: int
    step: int
    limit_w: float
    before_w: float
    after_w: float
    p_before: float
    p_after: float

    @property
    def sentence(self) -> str:
        """The node in one line."""
        return (
            f"{self.name}: {self.before_w:.0f} W -> {self.after_w:.0f} W of {self.limit_w:.0f} W,"
            f" P(over) {self.p_before:.3f} -> {self.p_after:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """What else was to be had instead.

    Attributes:
        action: what it would be, in words.
        relief_w: what it would take off the same node.
        cost: of it, money.
    """

    action: str
    relief_w: float
    cost: float


@dataclass(frozen=True, slots=True)
class ActionReason:
    """Why one move or transfer is in the plan.

    Attributes:
        action: in words; ``workload`` or ``ats`` is its index, the other one -1.
        start_s, lasts_s: when and for how long.
        cost: disruption, money.
        relieves: the node that needs it most, "" if it only makes room for others.
        relief_w: what it takes off that node.
        destination: how much power is left at the destination, and which server came next.
        instead: the best action left out.
        why: all that in words; with the action in front it is a ``sentence``.
    """

    action: str
    workload: int
    ats: int
    start_s: float
    lasts_s: float
    cost: float
    relieves: str
    relief_w: float
    destination: str
    instead: Alternative | None
    why: str

    @property
    def sentence(self) -> str:
        """The whole in one sentence."""
        return f"{self.action} for {self.cost:.2f}: {self.why}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan explained.

    Attributes:
        sentence: the whole in one sentence.
        why_now: when trouble begins, and how long the plan could wait.
        nodes: those at risk, and those that the plan brings close to their limit; worst first.
        actions: the plan's, in its order: moves, then transfers.
    """

    sentence: str
    why_now: str
    nodes: tuple[NodeRisk, ...]
    actions: tuple[ActionReason, ...]


def explain(instance: Instance, solution: Solution) -> Explanation:
    """Look at a plan again.

    Args:
        instance: the problem.
        solution: what ``solve`` answered to it.
    """
    problem = prepare(instance)
    start = State(problem)
    goal = start.copy()
    for workload, server, _ in solution.moves:
        goal.move(workload, server)
    for node, _, _ in solution.ats:
        goal.flip(int(np.flatnonzero(problem.rows.ats == node)[0]))
    verifier = Verifier(instance, problem.network)
    nodes = _nodes(verifier, problem, solution)
    why_now = _why_now(verifier, problem, solution)
    return Explanation(
        _sentence(solution, nodes), why_now, nodes, _Actions(start, goal).of(solution)
    )


def _nodes(verifier: Verifier, problem: Problem, solution: Solution) -> tuple[NodeRisk, ...]:
    """Each node at risk, and each the plan brings close to its limit, where it is worst."""
    before_w, p_before = verifier.risk((), ())
    after_w, p_after = verifier.risk(solution.moves, solution.ats)
    limit_w = verifier.limit_w[:, None]
    if problem.first_strict >= before_w.shape[1]:
        return ()
    strict = slice(problem.first_strict, None)
    over_w = (before_w - limit_w)[:, strict].max(1)
    use = (after_w / np.maximum(limit_w, 1.0))[:, strict].max(1)
    raised = (after_w > before_w + 1)[:, strict].any(1) & (use > _TIGHT)
    loads = np.flatnonzero((over_w > 0) | raised)
    loads = loads[np.lexsort((-use[loads], -over_w[loads]))]
    _, first = np.unique(verifier.node[loads], return_index=True)
    told = []
    for load in loads[np.sort(first)][:_NODES]:
        worst_w = np.maximum(before_w, after_w)[load, strict]
        at = problem.first_strict + int(worst_w.argmax())
        told.append(
            NodeRisk(
                verifier.name(int(load)),
                int(verifier.node[load]),
                verifier.lost(int(load)),
                at,
                round(float(verifier.limit_w[load]), 1),
                round(float(before_w[load, at]), 1),
                round(float(after_w[load, at]), 1),
                round(float(p_before[load, at]), 6),
                round(float(p_after[load, at]), 6),
            )
        )
    return tuple(told)


def _why_now(verifier: Verifier, problem: Problem, solution: Solution) -> str:
    """When trouble begins, and how long the plan could wait."""
    instance = problem.instance
    over = verifier.nothing_w > verifier.limit_w[:, None] + 1e-3
    over[:, : problem.first_strict] = False
    if not over.any():
        return "no node is over its limit from the lead time on: there is no hurry"
    step = int(over.any(0).argmax())
    load = int(over[:, step].argmax())
    spare_s = instance.lead_s - solution.makespan_s
    return (
        f"{verifier.name(load)} is over its limit from {step * instance.step_s:.0f} s on; all must"
        f" be cured within {instance.lead_s:.0f} s, the plan takes {solution.makespan_s:.0f} s, so"
        f" it can wait {max(spare_s, 0):.0f} s at most"
    )


def _sentence(solution: Solution, nodes: tuple[NodeRisk, ...]) -> str:
    """The whole in one sentence."""
    worst = next((node for node in nodes if node.before_w > node.limit_w), None)
    if worst is None or not (solution.moves or solution.ats):
        return solution.why[0] if solution.why else "nothing is done"
    doing = f"{_count(solution.moves, 'move')} and {_count(solution.ats, 'ATS transfer')}"
    end = (
        "every node keeps its limit"
        if solution.feasible
        else (f"{solution.excess_after_w:.0f} W remain over limits")
    )
    least = f" (no plan costs less than about {solution.bound:.2f})" if solution.bound else ""
    return (
        f"{doing} within {solution.makespan_s:.0f} s for {solution.cost:.2f}{least}, because"
        f" {worst.name} would be {worst.before_w - worst.limit_w:.0f} W over its limit; then {end}"
    )


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


class _Actions:
    """Reasons of single actions: what they relieve at the start, what else was to be had."""

    def __init__(self, start: State, goal: State) -> None:
        problem = start.problem
        self._problem, self._goal, self._count = problem, goal, len(start.placed)
        over_w = -(start.slack_w)
        rows = np.flatnonzero(over_w > 0)
        self._rows, self._over_w = rows, over_w[rows]
        self._names = [row_name(start, int(row)) for row in rows]
        transfers = self._count + np.arange(len(problem.rows.ats))
        self._actions = np.concatenate([np.arange(self._count), transfers])
        home = problem.instance.wl_server
        self._relief_w = Relief(problem, rows, self._actions, home).watts(start)
        ats_cost = problem.instance.ats_cost[problem.rows.ats]
        self._cost = np.concatenate([problem.move_cost, ats_cost])
        taken = np.concatenate([goal.placed != home, goal.flipped])
        late = np.concatenate([problem.duration_s > problem.deadline_s, goal.flipped])
        fixed = np.concatenate([~problem.instance.wl_movable, goal.flipped])
        self._left = np.flatnonzero(~taken & ~late & ~fixed)
        self._pool = Pool(np.arange(len(goal.way)))

    def of(self, solution: Solution) -> tuple[ActionReason, ...]:
        """Reasons in the plan's order: moves, then transfers."""
        moves = [self._move(*move) for move in solution.moves]
        return (*moves, *(self._transfer(*transfer) for transfer in solution.ats))

    def _move(self, workload: int, server: int, start_s: float) -> ActionReason:
        home = int(self._problem.instance.wl_server[workload])
        text = f"move workload {workload} from server {home} to server {server}"
        there = self._destination(workload, server)
        lasts_s = float(self._problem.duration_s[workload])
        return self._reason(workload, text, (start_s, lasts_s), there)

    def _transfer(self, node: int, source: int, start_s: float) -> ActionReason:
        side = "its alternative" if source else "its parent"
        index = int(np.flatnonzero(self._problem.rows.ats == node)[0])
        text = f"transfer ATS {node} to {side}"
        return self._reason(self._count + index, text, (start_s, 0.0), "")

    def _reason(
        self, action: int, text: str, when: tuple[float, float], there: str
    ) -> ActionReason:
        worst, relief_w = self._most_relieved(action)
        instead = self._instead(worst) if relief_w > 0 else None
        name = self._names[worst] if relief_w > 0 else ""
        parts = [f"takes {relief_w:.0f} W off {name}" if name else "makes room for other actions"]
        parts += [there] if there else []
        if instead:
            parts.append(
                f"the next best, to {instead.action}, takes {instead.relief_w:.0f} W off it"
                f" for {instead.cost:.2f}"
            )
        is_move = action < self._count
        return ActionReason(
            text,
            action if is_move else -1,
            -1 if is_move else int(self._problem.rows.ats[action - self._count]),
            *when,
            round(float(self._cost[action]), 3),
            name,
            round(max(relief_w, 0.0), 1),
            there,
            instead,
            "; ".join(parts),
        )

    def _most_relieved(self, action: int) -> tuple[int, float]:
        """The row of which an action relieves most excess, and what it takes off that row."""
        if not len(self._rows):
            return 0, 0.0
        relief_w = self._relief_w[:, action]
        worst = int(np.minimum(relief_w, self._over_w).argmax())
        return worst, float(relief_w[worst])

    def _instead(self, row: int) -> Alternative | None:
        """The action left out that relieves the same row best for its cost."""
        if not len(self._left):
            return None
        relief_w = self._relief_w[row, self._left]
        best = int((relief_w / np.maximum(self._cost[self._left], 0.02)).argmax())
        if relief_w[best] <= 0:
            return None
        other = int(self._left[best])
        name = f"move workload {other}"
        if other >= self._count:
            name = f"transfer ATS {self._problem.rows.ats[other - self._count]}"
        return Alternative(
            name, round(float(relief_w[best]), 1), round(float(self._cost[other]), 3)
        )

    def _destination(self, workload: int, server: int) -> str:
        """Spare power where a workload goes, and the server that came next."""
        goal = self._goal
        goal.lift(workload)
        servers, spare_w = by_spare(goal, workload, self._pool, -1)
        goal.put(workload, server)
        here = np.flatnonzero(servers == server)
        others = int(((servers != server) & (spare_w >= 0)).sum())
        mine_w = float(spare_w[here[0]]) if len(here) else 0.0
        text = f"server {server} has {max(mine_w, 0):.0f} W to spare then"
        if not others:
            return f"{text}, no other had room"
        costs = energy_cost(goal, workload, np.append(servers[spare_w >= 0], server))
        saved = float(costs[-1] - costs.min())
        saving = f"and would save {saved:.2f} of energy at most" if saved >= _CENT else "as well"
        return f"{text}, {others} others had room {saving}"
