"""Repair: take the action that relieves most excess for its cost until every row is in limits."""

from dataclasses import dataclass, field

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_TRIES = 16  # actions looked at before those are given up
_DESTINATIONS = 6  # servers tested exactly for each
_ACTIONS = 3  # actions a move of the budget: a workload may be placed anew
_CHAIN_TRIES = 5  # actions for which a destination that needs relief itself is considered
_COST_FLOOR = 0.02  # keeps the score of a free action finite


@dataclass(slots=True)
class Greedy:
    """One repair of a state.

    Attributes:
        state: changed in place.
        noise: standard deviation of the log-normal factor on costs; 0 = none.
        rng: source of that noise.
        banned: [W + ATS] actions that may not be taken.
    """

    state: State
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
            if not self._act():
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
        away = source != state.problem.instance.wl_server[workload]
        accepts = state.accepts(workload, home=away)
        accepts[source] = False
        fits = np.flatnonzero(accepts)
        state.lift(workload)
        server = self._destination(workload, fits)
        if server is None and chain:
            server = self._chain(workload, fits, before_w - 0.25 * useful_w)
        state.put(workload, source if server is None else server)
        return server is not None

    def _destination(self, workload: int, fits: IntArray) -> int | None:
        """Cheapest server on which nothing comes to exceed its target."""
        state = self.state
        spare = headroom_w(state)[fits] - needed_w(state.problem, workload)[fits]
        fits, spare = fits[spare >= 0], spare[spare >= 0]
        price = _energy_cost(state, workload, fits) - 1e-4 * np.minimum(spare, 300)
        return int(fits[np.argmin(price)]) if len(fits) else None

    def _chain(self, workload: int, fits: IntArray, most_w: float) -> int | None:
        """Server on which the excess left is least, and at most ``most_w``."""
        state = self.state
        spare = headroom_w(state)[fits] - needed_w(state.problem, workload)[fits]
        best: int | None = None
        for server in fits[np.argsort(-spare)[:_DESTINATIONS]]:
            left_w = state.excess_with_w(workload, int(server))
            if left_w < most_w:
                best, most_w = int(server), left_w
        return best


def relieved_w(state: State, over: IntArray, actions: IntArray) -> FloatArray:
    """[rows, actions] watts taken off each row at its worst step, to second order."""
    problem, instance = state.problem, state.problem.instance
    worst = (state.load_w[over] - problem.target_w[over]).argmax(1)
    steps = len(instance.growth)
    factor = state.linear[over, steps:]
    sigma = np.sqrt(np.maximum((factor**2).sum(1) + state.variance[over], 1e-9))
    pull = problem.rows.z[over] * instance.growth[worst] / sigma
    dense = np.stack([problem.rows.dense(int(row)) for row in over])
    count = len(state.placed)
    moves = actions[actions < count]
    server = state.placed[moves]
    share = dense[:, state.column[server]] * instance.server_eff[server]
    slope = problem.linear.T[np.ix_(worst, moves)]
    slope = slope + pull[:, None] * (factor @ instance.wl_factor_w[moves].T)
    slope += 0.5 * pull[:, None] * share * instance.wl_sigma_w[moves] ** 2
    out = np.zeros((len(over), len(actions)))
    out[:, : len(moves)] = share * slope
    for at, action in enumerate(actions[len(moves) :], start=len(moves)):
        behind = problem.rows.ats_servers[action - count]
        change = dense[:, state.column[behind]] - dense[:, problem.rows.other[behind]]
        watts = state.server_linear[behind][:, worst].T
        watts = watts + pull[:, None] * (factor @ state.server_linear[behind, steps:].T)
        out[:, at] = (change * watts).sum(1)
    return out


def worst_per_node(state: State) -> IntArray:
    """Of each node's rows over target the one with most excess, worst node first."""
    over = np.flatnonzero(state.slack_w < 0)
    over = over[np.argsort(state.slack_w[over], kind="stable")]
    first = np.unique(state.problem.rows.node[over], return_index=True)[1]
    return np.asarray(over[np.sort(first)])


def headroom_w(state: State) -> FloatArray:
    """[S] watts that each server may draw more before a row above it exceeds its target."""
    rows = state.problem.rows
    spare = np.append(state.slack_w[rows.row] / rows.value, np.inf)
    per_column = np.minimum.reduceat(spare, rows.start[:-1])
    per_column[np.diff(rows.start) == 0] = np.inf
    return np.asarray(per_column[state.column])


def needed_w(problem: Problem, workload: int) -> FloatArray:
    """[S] watts that a workload adds to any row above a server at most (norms are subadditive)."""
    instance = problem.instance
    z = max(instance.z_base, instance.z_n1)
    peak = instance.wl_w[workload] + z * problem.spread_w[workload] * instance.growth
    return instance.server_eff * float(peak.max())


def _energy_cost(state: State, workload: int, servers: IntArray) -> FloatArray:
    problem = state.problem
    price = problem.column_price[state.column[servers]] * problem.instance.server_eff[servers]
    return np.asarray(problem.energy_kwh[workload] * price)
