"""Which actions relieve enough, for the least cost: a covering problem in linear terms.

Choose actions ``x`` with ``gain @ x >= need``, at most ``budget`` of each kind, at least cost. Its
linear relaxation prices the rows; few actions have a reduced cost below the gap, and among those
an exchange search (add up to two actions, drop whatever that makes needless) comes within a
percent of the optimum in some ten milliseconds.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_FIRST = 150  # actions in the first relaxation, by gain for their cost
_EACH = 6  # and the best for each row
_SHORT = 1e3  # cost of leaving a row uncovered, in costs of the dearest action
_PAIRS = 30  # actions tried in pairs
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Cover:
    """A covering problem.

    Attributes:
        gain: [rows, actions] what an action takes off a row; may be negative.
        need: [rows] what must be taken off; not positive where a row only must not get worse.
        cost: [actions] positive.
        kind: [actions] 0 or 1.
        budget: how many actions of each kind may be chosen.
    """

    gain: FloatArray
    need: FloatArray
    cost: FloatArray
    kind: IntArray
    budget: tuple[int, int]

    def some(self, actions: IntArray) -> "Cover":
        """The same problem with some of the actions."""
        return Cover(
            self.gain[:, actions], self.need, self.cost[actions], self.kind[actions], self.budget
        )

    def slack(self, chosen: BoolArray) -> FloatArray:
        """[rows] what is taken off beyond need; negative where too little is."""
        return np.asarray(self.gain[:, chosen].sum(1) - self.need)


@dataclass(frozen=True, slots=True)
class Prices:
    """The relaxation's answer.

    Attributes:
        row: [rows] what a further unit of need would cost.
        reduced: [actions] cost beyond what the prices say an action is worth.
        bound: no choice costs less.
    """

    row: FloatArray
    reduced: FloatArray
    bound: float


def price(cover: Cover) -> Prices:
    """Solve the linear relaxation, taking actions in as they price well."""
    scale = np.maximum(np.abs(cover.gain).max(1, initial=0), _EPS)
    scaled = replace(cover, gain=cover.gain / scale[:, None], need=cover.need / scale)
    active = _promising(scaled)
    while True:
        prices = _relax(scaled, np.flatnonzero(active))
        if not ((prices.reduced < -1e-7) & ~active).any():
            return replace(prices, row=prices.row / scale)
        active |= prices.reduced < np.median(cover.cost) / 5


def _promising(cover: Cover) -> BoolArray:
    """[actions] the first ones of the relaxation."""
    met = np.minimum(np.maximum(cover.gain, 0), np.maximum(cover.need, 0)[:, None]) / cover.cost
    active = np.zeros(len(cover.cost), bool)
    active[np.argsort(-met.sum(0))[:_FIRST]] = True
    active[np.argsort(-met, axis=1)[:, :_EACH].ravel()] = True
    return active


def _relax(cover: Cover, taken: IntArray) -> Prices:
    """The relaxation with some of the actions; what stays uncovered costs very much."""
    rows = len(cover.need)
    counts = np.stack([cover.kind == 0, cover.kind == 1]).astype(float)
    dear = _SHORT * float(cover.cost.max(initial=1.0))
    solved = linprog(
        np.concatenate([cover.cost[taken], np.full(rows, dear)]),
        A_ub=np.block(
            [[-cover.gain[:, taken], -np.eye(rows)], [counts[:, taken], np.zeros((2, rows))]]
        ),
        b_ub=np.concatenate([-cover.need, cover.budget]),
        bounds=[(0.0, 1.0)] * len(taken) + [(0.0, None)] * rows,
        method="highs-ds",
        options={"presolve": False},
    )
    dual = -np.asarray(solved.ineqlin.marginals) if solved.success else np.zeros(rows + 2)
    row, limit = dual[:rows], dual[rows:]
    reduced = cover.cost - row @ cover.gain + limit @ counts
    bound = row @ cover.need - limit @ cover.budget + np.minimum(reduced, 0).sum()
    return Prices(row, reduced, float(bound))


def complete(cover: Cover, chosen: BoolArray, weight: FloatArray, cost: FloatArray) -> BoolArray:
    """Add actions, best weighted gain for their cost first, until every need is met or none helps.

    Args:
        cover: the problem.
        chosen: [actions] what is chosen already.
        weight: [rows] worth of a unit of need.
        cost: [actions] to go by, which may be perturbed.
    """
    chosen = chosen.copy()
    slack = cover.slack(chosen)
    left = np.array(cover.budget) - np.bincount(cover.kind[chosen], minlength=2)
    while len(cost) and (slack < -_EPS).any():
        short = np.maximum(-slack, 0)
        worth = weight @ (short[:, None] - np.maximum(-slack[:, None] - cover.gain, 0))
        worth[chosen | (left[cover.kind] <= 0)] = 0
        best = int((worth / cost).argmax())
        if worth[best] <= _EPS:
            break
        chosen[best] = True
        slack = slack + cover.gain[:, best]
        left[cover.kind[best]] -= 1
    return chosen


def exchange(cover: Cover, chosen: BoolArray, order: IntArray) -> BoolArray:
    """Add none, one or two actions and drop what that makes needless, while it gets cheaper.

    Args:
        cover: the problem.
        chosen: [actions] a choice that meets every need.
        order: actions that may be added, most promising first.
    """
    chosen = chosen.copy()
    while True:
        inside = np.flatnonzero(chosen)
        outside = order[~chosen[order]]
        slack = cover.slack(chosen)
        room = np.array(cover.budget) - np.bincount(cover.kind[inside], minlength=2)
        for trial in _additions(outside):
            added = trial[_within(cover.kind[trial], room)]
            if not len(added):
                continue
            dropped, saved = _drop(cover, inside, slack + cover.gain[:, added].sum(2).T)
            saved -= cover.cost[added].sum(1)
            best = int(saved.argmax())
            if saved[best] > _EPS:
                chosen[added[best]] = True
                chosen[inside[dropped[best]]] = False
                break
        else:
            return chosen


def _additions(outside: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """None, each one, and each pair of the most promising actions."""
    one, other = np.triu_indices(min(_PAIRS, len(outside)), 1)
    pairs = np.stack([outside[one], outside[other]], axis=1)
    return np.zeros((1, 0), np.int64), outside[:, None], pairs


def _within(kind: IntArray, room: IntArray) -> BoolArray:
    """[additions] whether the budgets hold them; ``kind`` is [additions, actions]."""
    return np.asarray(((kind == 0).sum(1) <= room[0]) & ((kind == 1).sum(1) <= room[1]))


def _drop(cover: Cover, inside: IntArray, slack: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Drop needless actions, dearest first: [trials, inside] which, and [trials] the cost saved.

    Args:
        cover: the problem.
        inside: chosen actions.
        slack: [trials, rows] what is taken off beyond need in each trial.
    """
    gain, cost = cover.gain[:, inside], cover.cost[inside]
    dropped = np.zeros((len(slack), len(inside)), bool)
    saved = np.zeros(len(slack))
    live, can = np.arange(len(slack)), np.ones((len(slack), len(inside)), bool)
    while len(live):
        for row in range(len(gain)):
            can &= slack[:, row, None] >= gain[row] - _EPS
        some = can.any(1)
        live, can, slack = live[some], can[some], slack[some]
        best = np.where(can, cost, -1.0).argmax(1)
        saved[live] += cost[best]
        dropped[live, best] = True
        can[np.arange(len(live)), best] = False
        slack = slack - gain[:, best].T
    return dropped, saved
