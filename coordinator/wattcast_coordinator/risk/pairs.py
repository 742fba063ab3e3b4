"""N-1-1: every single loss on top of every single fault.

The load of a node after two losses is its load as it is, plus the change by each, plus a
correction where both touch the same servers (``topology.second``). A pair of which one loss
contains the other is that loss alone. A node over its limit after one of the two alone is that
loss's finding, not the pair's.
"""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.risk.cascade import Situation
from wattcast_coordinator.risk.nminus import Moments, SingleLosses
from wattcast_coordinator.risk.trip import trip_time_s
from wattcast_coordinator.topology.buckets import Gather
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.second import Second
from wattcast_core.units import FloatArray

_CHUNK = 1 << 16  # rows whose loads are added up at a time


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Nodes over their emergency limit after two losses, but after neither alone.

    Attributes:
        first, second: [P] contingencies (index into ``matrices.lost``), first < second; each
            stands for all that ``Second.same_as`` it.
        node: [P] what is over.
        load_w: [P,H] quantile load.
        p_over: [P] probability of the worst step.
        checked: pairs of contingencies judged (all of them).
    """

    first: IntArray
    second: IntArray
    node: IntArray
    load_w: FloatArray
    p_over: FloatArray
    checked: int


def judge(single: SingleLosses, second: Second, gathered: Gather, servers: Moments) -> Pairs:
    """All pairs of single losses.

    Args:
        single: the losses one by one, with all rows (``every=True``).
        second: corrections of the same matrices.
        gathered: as for ``assess``.
        servers: as for ``assess``.
    """
    correction = Moments(
        *second.apply(gathered.linear @ servers.values, gathered.square @ servers.variance),
        servers.growth,
    )
    rows = _Rows(single)
    met = rows.both(second.first, second.second, second.node) + correction
    found = [rows.over(met, second.first, second.second, second.node)]
    one, other = rows.meeting_rows()
    case, node = single.matrices.case - 1, single.matrices.node
    low, high = np.minimum(case[one], case[other]), np.maximum(case[one], case[other])
    count, nodes = len(second.same_as), len(single.matrices.network)
    corrected = (second.first * count + second.second) * nodes + second.node
    plain = second.apart[low, high]
    plain &= ~_contains(corrected, (low * count + high) * nodes + node[one])
    one, other, low, high = one[plain], other[plain], low[plain], high[plain]
    for at in range(0, len(one), _CHUNK):
        part = slice(at, at + _CHUNK)
        loads = single.rows[one[part]] + rows.change[other[part]]
        found.append(rows.over(loads, low[part], high[part], node[one[part]]))
    parts = [np.concatenate(part) for part in zip(*found, strict=True)]
    order = np.lexsort((parts[2], parts[1], parts[0]))
    a, b, at_node, load_w, p_over = (part[order] for part in parts)
    return Pairs(a, b, at_node, load_w, p_over, count * (count - 1) // 2)


def tripping(found: Pairs, situation: Situation) -> list[tuple[int, int]]:
    """Pairs after which something would trip within the horizon (to be followed from there)."""
    device = np.full(len(situation.network), -1)
    device[[p.node for p in situation.protections]] = np.arange(len(situation.protections))
    rating_w = np.array([p.rating_w for p in situation.protections])
    rows = np.flatnonzero(device[found.node] >= 0)
    at = device[found.node[rows]]
    ratio = found.load_w[rows] / rating_w[at, None]
    trips = np.zeros(len(rows), bool)
    for curve in {p.curve for p in situation.protections}:
        own = np.array([p.curve is curve for p in situation.protections])
        here = np.flatnonzero(own[at] & (ratio.max(1, initial=0.0) >= curve.ratio[0]))
        # No device was loaded beyond what it bears before, so the hottest start is the safe side.
        times_s = curve.time_s(ratio[here], 0.99 * curve.ratio[0])
        trips[here] = np.isfinite(trip_time_s(times_s, situation.step_s))
    chosen = rows[trips]
    pair = np.stack([found.first[chosen], found.second[chosen]], axis=1)
    return [(int(a), int(b)) for a, b in np.unique(pair, axis=0)]


class _Rows:
    """The rows of single losses as changes, found by contingency and node."""

    def __init__(self, single: SingleLosses) -> None:
        self._single, matrices = single, single.matrices
        base = single.base[matrices.node]
        rows = single.rows
        self.change = replace(
            rows, values=rows.values - base.values, variance=rows.variance - base.variance
        )
        self._key = (matrices.case - 1) * len(matrices.network) + matrices.node
        self._alone = self._over_alone()

    def both(self, first: IntArray, second: IntArray, node: IntArray) -> Moments:
        """Loads as they are plus the changes by both losses."""
        return self._single.base[node] + self._change(first, node) + self._change(second, node)

    def _change(self, contingency: IntArray, node: IntArray) -> Moments:
        wanted = contingency * len(self._single.matrices.network) + node
        at = np.minimum(np.searchsorted(self._key, wanted), max(len(self._key) - 1, 0))
        known = self._key[at] == wanted if len(self._key) else np.zeros(len(wanted), bool)
        part = self.change[at]
        return replace(part, values=part.values * known[:, None], variance=part.variance * known)

    def meeting_rows(self) -> tuple[IntArray, IntArray]:
        """All pairs of rows of one node to which both losses add load."""
        adds = np.flatnonzero(self._single.matrices.adds)
        node = self._single.matrices.node[adds]
        order = adds[np.argsort(node, kind="stable")]
        _, start, count = np.unique(
            self._single.matrices.node[order], return_index=True, return_counts=True
        )
        later = np.repeat(start + count, count) - np.arange(len(order)) - 1
        one = np.repeat(np.arange(len(order)), later)
        ends = np.cumsum(later)
        other = one + 1 + np.arange(len(one)) - np.repeat(ends - later, later)
        return order[one], order[other]

    def over(
        self, loads: Moments, first: IntArray, second: IntArray, node: IntArray
    ) -> tuple[IntArray, IntArray, IntArray, FloatArray, FloatArray]:
        """Of the given rows those over the limit, and not so after either loss alone."""
        limits = self._single.limits
        limit_w = limits.n1_w[node]
        load_w = loads.quantile_w(limits.z_n1)
        over = load_w.max(1, initial=-np.inf) > limit_w
        over &= ~(self._alone[node, first] | self._alone[node, second])
        p_over = loads[over].p_over(limit_w[over]).max(1, initial=0.0)
        return first[over], second[over], node[over], load_w[over], p_over

    def _over_alone(self) -> BoolArray:
        """[N,K] nodes over their limit after one loss alone (or without any)."""
        single, matrices = self._single, self._single.matrices
        load_w = single.base.quantile_w(single.limits.z_n1)
        before = load_w.max(1) > single.limits.n1_w
        out = np.repeat(before[:, None], len(matrices.lost), axis=1)
        rows = single.over() & matrices.adds
        out[matrices.node[rows], matrices.case[rows] - 1] = True
        return out


def _contains(known: IntArray, wanted: IntArray) -> BoolArray:
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    return known[at] == wanted if len(known) else np.zeros(len(wanted), bool)
