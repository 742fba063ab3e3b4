"""Repair: take the action that relieves most excess for its cost until every row is in limits."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from wattcast_coordinator.plan.place import Destinations
from wattcast_coordinator.plan.relief import relieved_w
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_TRIES = 16  # actions looked at before those are given up
_ACTIONS = 3  # actions a move of the budget: a workload may be placed anew
_CHAIN_TRIES = 5  # actions for which a destination that needs relief itself is considered
_COST_FLOOR = 0.02  # keeps the score of a free action finite


@dataclass(slots=True)
class Greedy:
    """One repair of a state.

    Attributes:
        state: changed in place.
        destinations: where workloads may go.
        deadline: asked before every action.
        noise: standard deviation of the log-normal factor on costs; 0 = none.
        rng: source of that noise.
        banned: [W + ATS] actions that may not be taken.
    """

    state: State
    destinations: Destinations
    deadline: Callable[[], bool]
    noise: float = 0.0
    rng: np.random.Generator | None = None
    banned: BoolArray = field(init=False)
    _weight: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        problem = self.state.problem
        instance = problem.instance
        self.banned = np.zeros(len(instance.wl_server) + len(problem.rows.ats), bool)
        late = problem.duration_s > problem.deadline_s
        self.banned[: len(late)] = ~instance.wl_movable | late
        self.banned[len(late) :][self.state.flipped] = True
        cost = np.concatenate([problem.move_cost, instance.ats_cost[problem.rows.ats]])
        self._weight = 1 / np.maximum(cost, _COST_FLOOR)
        if self.noise and self.rng is not None:
            self._weight *= np.exp(self.noise * self.rng.standard_normal(len(cost)))

    def run(self) -> bool:
        """Act until nothing exceeds its target; False if stuck or out of budget."""
        for _ in range(_ACTIONS * (1 + self.state.problem.instance.max_moves)):
            if not (self.state.slack_w < 0).any():
                return True
            if self.deadline() or not self._act():
                break
        return False

    def _act(self) -> bool:
        """Take the best action that can be taken; False if there is none."""
        over = worst_per_node(self.state)
        allowed = self._allowed()
        while True:
            relief = relieved_w(self.state, over, allowed)
            excess_w = -self.state.slack_w[over]
            gain = np.minimum(relief, excess_w[:, None])
            limit_w = np.maximum(self.state.problem.rows.limit_w[over], 1)
            weighted = (gain / limit_w[:, None]).sum(0)
            score = weighted * self._weight[allowed]
            order = np.argsort(-score)[:_TRIES]
            order = order[score[order] > 0]
            for rank, index in enumerate(order):
                useful = float(gain[:, index].max())
                if self._try(int(allowed[index]), useful, chain=rank < _CHAIN_TRIES):
                    return True
            if not len(order):
                return False
            self.banned[allowed[order]] = True
            allowed = self._allowed()

    def _allowed(self) -> IntArray:
        """Actions that may still be taken within the churn budget."""
        state, instance = self.state, self.state.problem.instance
        allowed = ~self.banned
        count = len(instance.wl_server)
        if len(state.moved()) >= instance.max_moves:
            allowed[:count] &= state.placed != instance.wl_server
        if state.flipped.sum() >= instance.max_ats:
            allowed[count:] = False
        return np.flatnonzero(allowed)

    def _try(self, action: int, useful_w: float, *, chain: bool) -> bool:
        workloads = len(self.state.placed)
        if action >= workloads:
            return self._try_flip(action - workloads, useful_w)
        return self._try_move(action, useful_w, chain=chain)

    def _try_flip(self, index: int, useful_w: float) -> bool:
        before_w = self.state.excess_w()
        self.state.flip(index)
        if self.state.excess_w() < before_w - 0.25 * useful_w:
            self.banned[len(self.state.placed) + index] = True
            return True
        self.state.flip(index)
        return False

    def _try_move(self, workload: int, useful_w: float, *, chain: bool) -> bool:
        state = self.state
        source = int(state.placed[workload])
        before_w = state.excess_w()
        state.lift(workload)
        server = self.destinations.find(state, workload, but=source)
        if server is None and chain:
            server = self.destinations.find_chain(
                state, workload, before_w - 0.25 * useful_w, but=source
            )
        state.put(workload, source if server is None else server)
        return server is not None


def worst_per_node(state: State) -> IntArray:
    """Of each node's rows over target the one with most excess, worst node first."""
    over = np.flatnonzero(state.slack_w < 0)
    over = over[np.argsort(state.slack_w[over], kind="stable")]
    first = np.unique(state.problem.rows.node[over], return_index=True)[1]
    return np.asarray(over[np.sort(first)])
