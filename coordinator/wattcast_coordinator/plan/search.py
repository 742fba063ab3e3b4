"""From a room at risk to cheap goals: which actions (a covering problem), then where to.

The linear model of what actions relieve is made anew at each goal that was tried, so that it
becomes exact where it matters.
"""

import numpy as np

from wattcast_coordinator.plan.cover import Cover, complete, exchange, price
from wattcast_coordinator.plan.place import Destinations, needed_w
from wattcast_coordinator.plan.prune import take_back
from wattcast_coordinator.plan.relief import relieved_w
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import BoolArray, IntArray

_CORE = 120  # actions searched: those of least reduced cost
_SETTLE = 3  # rounds of placing a choice and choosing anew where the model was wrong
_COST_FLOOR = 0.02  # keeps the worth of a free action finite
_NOISE = 0.2  # standard deviation of the log-normal factor on costs in a round
_SHORT_W = 1e-6  # rounding
_TORN = 5  # actions taken out of a goal at most to search it anew


class Search:
    """The search over one problem; its rounds can be stopped after any of them.

    Attributes:
        start: the room as it is.
        bound: no plan costs less than about this (the covering problem's relaxation).
    """

    def __init__(self, start: State, rng: np.random.Generator) -> None:
        self.start, self._rng = start, rng
        problem = start.problem
        self._problem, self._workloads = problem, len(start.placed)
        self._destinations = Destinations(start)
        self._rows = np.flatnonzero(start.slack_w < 0)
        may = problem.instance.wl_movable & (problem.duration_s <= problem.deadline_s)
        transfers = self._workloads + np.arange(len(problem.rows.ats))
        self._actions = np.concatenate([np.flatnonzero(may), transfers])
        model = self._model(start)
        useful = np.flatnonzero((model.gain > 0).any(0))
        prices = price(model.some(useful))
        core = np.argsort(prices.reduced, kind="stable")[:_CORE]
        self._actions = np.sort(self._actions[useful[core]])
        self._order = np.argsort(np.argsort(useful[core]))  # the most promising first
        self._weight, self.bound = prices.row, prices.bound
        self._banned = np.zeros(len(self._actions), bool)

    def construct(self, noise: float = 0.0, *, transfers: bool = True) -> State:
        """A goal from nothing; it may fall short."""
        self._banned[:] = False
        banned = (self._actions >= self._workloads) & (not transfers)
        model = self._model(self.start)
        chosen = np.zeros(len(self._actions), bool)
        return self._settle(self.start, self._choose(model, chosen, banned, noise))

    def vary(self, best: State) -> State | None:
        """A goal that should cost less than one within all targets; None if none was seen."""
        model, chosen = self._model(best), self._chosen(best)
        inside = np.flatnonzero(chosen)
        count = min(len(inside), int(self._rng.integers(1, _TORN + 1)))
        torn = self._rng.choice(inside, count, replace=False)
        kept = chosen.copy()
        kept[torn] = False
        banned = self._rng.random(len(chosen)) < 0.1
        banned[torn] = self._rng.random(count) < 0.7
        choice = self._choose(model, kept, banned & ~kept, _NOISE)
        short = (model.slack(choice) < -_SHORT_W).any()
        if short or model.cost[choice].sum() >= model.cost[chosen].sum() - 1e-6:
            return None
        return self._settle(best, choice)

    def _model(self, state: State) -> Cover:
        """The covering problem in linear terms at a state."""
        problem = self._problem
        cost = np.concatenate([problem.move_cost, problem.instance.ats_cost[problem.rows.ats]])
        gain = relieved_w(state, self._rows, self._actions, problem.instance.wl_server)
        return Cover(
            gain,
            gain[:, self._chosen(state)].sum(1) - state.slack_w[self._rows],
            np.maximum(cost[self._actions], _COST_FLOOR),
            (self._actions >= self._workloads).astype(np.int64),
            (problem.instance.max_moves, problem.instance.max_ats),
        )

    def _chosen(self, state: State) -> BoolArray:
        """[actions] which of them a state has taken."""
        moved = state.placed != self._problem.instance.wl_server
        return np.asarray(np.concatenate([moved, state.flipped])[self._actions])

    def _choose(
        self, model: Cover, chosen: BoolArray, banned: BoolArray, noise: float = 0.0
    ) -> BoolArray:
        """Add to a choice until it covers, then make it cheap."""
        banned = banned | self._banned
        cost = model.cost * np.exp(noise * self._rng.standard_normal(len(model.cost)))
        cost[banned] = np.inf
        floor = 1e-3 * self.bound / max(float(np.abs(model.need).sum()), 1.0)
        full = complete(model, chosen, self._weight + floor, cost)
        if (model.slack(full) < -_SHORT_W).any():
            return full
        return exchange(model, full, self._order[~banned[self._order]])

    def _settle(self, state: State, choice: BoolArray) -> State:
        """Place a choice, and choose anew where the model was wrong or no server was found."""
        for _ in range(_SETTLE):
            state = self._realise(state, choice)
            if state.excess_w() <= 0:
                break
            self._watch(np.flatnonzero(state.slack_w < 0))
            chosen = self._chosen(state)
            choice = self._choose(self._model(state), chosen, np.zeros(len(chosen), bool))
            if (choice == chosen).all():
                break
        return state

    def _realise(self, state: State, choice: BoolArray) -> State:
        """A copy of a state with a choice of actions taken; new moves are placed, largest first."""
        goal, have = state.copy(), self._chosen(state)
        changed = self._actions[have != choice]
        for index in changed[changed >= self._workloads] - self._workloads:
            goal.flip(int(index))
        for action in self._actions[have & ~choice]:
            if action < self._workloads:
                take_back(goal, int(action))
        new = [int(a) for a in self._actions[choice & ~have] if a < self._workloads]
        new.sort(key=lambda workload: -needed_w(self._problem, workload))
        for workload in new:
            goal.lift(workload)
        for workload in new:
            server = self._destinations.find(goal, workload)
            if server is None:
                self._banned[np.searchsorted(self._actions, workload)] = True
                server = int(goal.placed[workload])
            goal.put(workload, server)
        return goal

    def _watch(self, rows: IntArray) -> None:
        """Take rows into the model that a goal came to exceed."""
        new = np.setdiff1d(rows, self._rows)
        weight = float(self._weight.mean())
        self._rows = np.concatenate([self._rows, new])
        self._weight = np.concatenate([self._weight, np.full(len(new), weight)])
