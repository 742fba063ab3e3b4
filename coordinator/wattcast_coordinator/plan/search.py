"""From a room at risk to cheap goals: which actions (a covering problem), then where to.

The linear model of what actions relieve is made anew at each goal that was tried, so that it
becomes exact where it matters.
"""

from itertools import combinations

import numpy as np

from wattcast_coordinator.plan.cover import Cover, complete, exact, exchange, price
from wattcast_coordinator.plan.place import Destinations, needed_w
from wattcast_coordinator.plan.prune import take_back
from wattcast_coordinator.plan.relief import Relief
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

CORE = 120  # actions searched: those of least reduced cost
_NEARLY = 1.02  # times the best cost: worth a wider exchange
_SETTLE = 3  # rounds of placing a choice and choosing anew where the model was wrong
_CHEAP = 0.1  # share of the servers where energy costs less than is hoped for
_COST_FLOOR = 0.02  # keeps the worth of a free action finite
_TEMPTING = 4  # transfers combined: those of least reduced cost
_DEAR = 0.1  # of the bound: a reduced cost that rules a transfer out
_SETS = 5  # combinations tried
_NOISE = 0.2  # standard deviation of the log-normal factor on costs in a round
_SHORT_W = 1e-6  # rounding
_ANEW = 0.4  # share of rounds that take all actions out of a goal
_TORN = 5  # actions taken out at most in other rounds


class Search:
    """The search over one problem; its rounds can be stopped after any of them.

    Attributes:
        start: the room as it is.
        bound: no plan costs less than about this (the covering problem's relaxation).
        destinations: where workloads may go.
    """

    def __init__(self, start: State, rng: np.random.Generator, core: int = CORE) -> None:
        self.start, self._rng = start, rng
        problem = start.problem
        self._problem, self._workloads = problem, len(start.placed)
        self.destinations = Destinations(start)
        self._rows = np.flatnonzero(start.slack_w < 0)
        may = problem.instance.wl_movable & (problem.duration_s <= problem.deadline_s)
        transfers = self._workloads + np.arange(len(problem.rows.ats))
        self._cost = _costs(start)
        self._actions = np.concatenate([np.flatnonzero(may), transfers])
        self._relief = self._look_at(self._rows)
        model = self._model(start)
        useful = np.flatnonzero((model.gain > 0).any(0))
        prices = price(model.some(useful))
        kept = np.sort(np.argsort(prices.reduced, kind="stable")[:core])
        self._actions, self._reduced = self._actions[useful[kept]], prices.reduced[kept]
        self._order = np.argsort(self._reduced, kind="stable")  # the most promising first
        self._relief = self._look_at(self._rows)
        self._weight, self.bound = prices.row, prices.bound
        self._banned = np.zeros(len(self._actions), bool)
        self._choices: list[BoolArray] = []
        self._varied: tuple[State, Cover] | None = None

    def construct(self, attempt: int) -> State:
        """A goal from nothing, the most promising attempts first; it may fall short."""
        self._banned[:] = False
        if attempt == 0:
            self._choices = self._starts()
        choice = self._next_start()
        if choice is not None:
            return self._settle(self.start, choice)
        model, none = self._model(self.start), np.zeros(len(self._actions), bool)
        noise = _NOISE * (1 + attempt) / 4
        return self._settle(self.start, self._choose(model, none, none, noise=noise))

    def _starts(self) -> list[BoolArray]:
        """Choices with different sets of transfers, cheapest first.

        A transfer relieves and loads so much at once that a search by small steps seldom finds
        another one; those that price well are tried in all combinations.
        """
        model = self._model(self.start)
        transfer = model.kind == 1
        tempting = self._order[transfer[self._order]][:_TEMPTING]
        tempting = tempting[self._reduced[tempting] < _DEAR * self.bound]
        sets = [s for size in range(model.budget[1] + 1) for s in combinations(tempting, size)]
        sets.sort(key=lambda one: float(self._reduced[list(one)].sum()))
        choices = []
        for one in sets[:_SETS]:
            chosen = np.isin(np.arange(len(transfer)), one)
            choices.append(self._choose(model, chosen, transfer & ~chosen, most=1))
        short = [max(-float(model.slack(choice).min()), _SHORT_W) for choice in choices]
        cost = [float(model.cost[choice].sum()) for choice in choices]
        order = sorted(range(len(choices)), key=lambda at: (short[at], cost[at]))
        return [choices[at] for at in order]

    def _next_start(self, limit: float = np.inf) -> BoolArray | None:
        """The next choice that meets every need for less than a limit; None if there is none."""
        model = self._model(self.start)
        while self._choices:
            choice = self._choices.pop(0)
            covers = model.slack(choice).min() >= -_SHORT_W
            if covers and model.cost[choice].sum() < _NEARLY * limit:
                choice = exchange(model, choice, self._order)
            if model.cost[choice].sum() < limit and (covers or limit == np.inf):
                return choice
        return None

    def improve(self, best: State) -> State | None:
        """A goal that should cost less than one within all targets; None if none was seen."""
        self._banned[:] = False
        choice = self._next_start(best.cost())
        return self._vary(best) if choice is None else self._settle(self.start, choice)

    def polish(self, best: State, seconds: float) -> State | None:
        """A goal from the cheapest choice as seen from one within all targets; None if dearer."""
        model = self._model(best)
        choice = exact(model, seconds)
        if (
            choice is None
            or model.cost[choice].sum() >= model.cost[self._chosen(best)].sum() - 1e-6
        ):
            return None
        return self._settle(best, choice)

    def _vary(self, best: State) -> State | None:
        """A goal that differs in a few actions from one within all targets."""
        if self._varied is None or self._varied[0] is not best:
            self._varied = best, self._model(best)
        model, chosen = self._varied[1], self._chosen(best)
        inside = np.flatnonzero(chosen)
        anew = self._rng.random() < _ANEW
        count = len(inside) if anew else min(len(inside), int(self._rng.integers(1, _TORN + 1)))
        torn = self._rng.choice(inside, count, replace=False)
        kept = chosen.copy()
        kept[torn] = False
        banned = self._rng.random(len(chosen)) < 0.1
        banned[torn] = self._rng.random(count) < (0.1 if anew else 0.7)
        limit = float(model.cost[chosen].sum()) - 1e-6
        choice = self._choose(model, kept, banned & ~kept, noise=_NOISE, most=1)
        covers = model.slack(choice).min() >= -_SHORT_W
        if covers and limit <= model.cost[choice].sum() < _NEARLY * limit:
            choice = exchange(model, choice, self._order)
        if not covers or model.cost[choice].sum() >= limit:
            return None
        return self._settle(best, choice)

    def _look_at(self, rows: IntArray) -> Relief:
        moves = self._actions[self._actions < self._workloads]
        home = self._problem.instance.wl_server[moves]
        return Relief(self._problem, rows, self._actions, home)

    def _model(self, state: State) -> Cover:
        """The covering problem in linear terms at a state."""
        instance, gain = self._problem.instance, self._relief.watts(state)
        return Cover(
            gain,
            gain[:, self._chosen(state)].sum(1) - state.slack_w[self._rows],
            self._cost[self._actions],
            (self._actions >= self._workloads).astype(np.int64),
            (instance.max_moves, instance.max_ats),
        )

    def _chosen(self, state: State) -> BoolArray:
        """[actions] which of them a state has taken."""
        moved = state.placed != self._problem.instance.wl_server
        return np.asarray(np.concatenate([moved, state.flipped])[self._actions])

    def _choose(
        self,
        model: Cover,
        chosen: BoolArray,
        banned: BoolArray,
        *,
        noise: float = 0.0,
        most: int = 2,
    ) -> BoolArray:
        """Add to a choice until it covers, then make it cheap."""
        banned = banned | self._banned
        cost = model.cost * np.exp(noise * self._rng.standard_normal(len(model.cost)))
        cost[banned] = np.inf
        floor = 1e-3 * self.bound / max(float(np.abs(model.need).sum()), 1.0)
        full = complete(model, chosen, self._weight + floor, cost)
        if (model.slack(full) < -_SHORT_W).any():
            return full
        return exchange(model, full, self._order[~banned[self._order]], most=most)

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
        left = new
        while left:  # one after the other, so that an order exists in which they can move
            before, left = left, [w for w in left if not self._place(goal, w)]
            if len(left) == len(before):
                break
        self._banned[np.searchsorted(self._actions, left)] = True
        return goal

    def _place(self, goal: State, workload: int) -> bool:
        """Move a workload to the best server that has room for it; False if there is none."""
        home = int(goal.placed[workload])
        goal.lift(workload)
        server = self.destinations.find(goal, workload)
        goal.put(workload, home if server is None else server)
        return server is not None

    def _watch(self, rows: IntArray) -> None:
        """Take rows into the model that a goal came to exceed."""
        new = np.setdiff1d(rows, self._rows)
        weight = float(self._weight.mean())
        if not len(new):
            return
        self._rows = np.concatenate([self._rows, new])
        self._relief = self._look_at(self._rows)
        self._varied = None
        self._weight = np.concatenate([self._weight, np.full(len(new), weight)])


def _costs(start: State) -> FloatArray:
    """[W + ATS] disturbance, less what a workload's energy costs less where energy is cheap."""
    problem, instance = start.problem, start.problem.instance
    per_kwh = problem.price(np.arange(len(start.way)), start.way) * instance.server_eff
    saved = per_kwh[instance.wl_server] - np.quantile(per_kwh, _CHEAP)
    moves = problem.move_cost - problem.energy_kwh * saved
    cost = np.concatenate([moves, instance.ats_cost[problem.rows.ats]])
    return np.asarray(np.maximum(cost, _COST_FLOOR))
