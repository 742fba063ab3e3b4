"""Find the constraints that can bind, so that the search carries few rows.

A loss binds where it adds load. The loss of a feed outdoes the loss of anything below it wherever
it takes at least as much of every server through the same node; that is tested entry by entry,
never assumed. Where doing nothing already breaks a row, the rows it stands for are kept too: they
must not get worse, and a row that may stay broken says nothing about them.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.routes import Routes, behind_ats, tally, trace
from wattcast_coordinator.plan.rows import Rows, quantiles
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray

_EQUAL = 1e-12


@dataclass(frozen=True, slots=True)
class _Entries:
    """Sparse entries: row = case * N + node, column, value."""

    row: IntArray
    column: IntArray
    value: FloatArray


@dataclass(frozen=True, slots=True)
class _Traced:
    """The room in all cases, present feeding and flipped columns together.

    Attributes:
        intact, lost: entries of the intact room and changed entries of the losses.
        gain: what a loss adds to each entry of ``lost``.
        changed: [1+K, N] rows whose load a loss changes.
        same: [1+K, N] rows of losses that leave a live node's load as it is.
    """

    intact: _Entries
    lost: _Entries
    gain: FloatArray
    changed: BoolArray
    same: BoolArray


def compile_rows(instance: Instance) -> Rows:
    """Trace the room and keep the rows that no other row makes redundant."""
    ats, groups = _transferable(instance)
    flipped = np.concatenate([np.zeros(0, np.int64), *groups])
    count = len(instance.server_cord)
    other = np.arange(count)
    other[flipped] = count + np.arange(len(flipped))
    source = instance.ats_source.copy()
    source[ats] = 1 - source[ats]
    ways = (trace(instance, instance.ats_source), trace(instance, source, flipped))
    traced = _join(ways, other)
    stands_for = _dominator(instance, traced)
    row = _needed(instance, traced, stands_for)
    rows = _assemble(instance, traced, row, (other, ats, groups))
    broken = row[(quantiles(instance, rows) > rows.limit_w[:, None]).any(1)]
    extra = _outdone(traced, stands_for, broken)
    if not len(extra):
        return rows
    return _assemble(instance, traced, np.union1d(row, extra), (other, ats, groups))


def _assemble(
    instance: Instance,
    traced: _Traced,
    row: IntArray,
    feeding: tuple[IntArray, IntArray, tuple[IntArray, ...]],
) -> Rows:
    """Constraints of the given rows; rows without a finite limit are left out."""
    nodes = len(instance.node_parent)
    intact = row < nodes
    limit_w = np.where(intact, instance.limit_base_w[row % nodes], instance.limit_n1_w[row % nodes])
    finite = np.isfinite(limit_w)
    row, intact, limit_w = row[finite], intact[finite], limit_w[finite]
    full = _coefficients(instance, traced, row)
    order = np.lexsort((full.row, full.column))
    columns = 1 + int(feeding[0].max(initial=-1))
    return Rows(
        row // nodes,
        row % nodes,
        limit_w,
        np.where(intact, instance.z_base, instance.z_n1),
        np.searchsorted(full.column[order], np.arange(columns + 1)),
        full.row[order],
        full.value[order],
        (np.searchsorted(full.row, np.arange(len(row) + 1)), full.column, full.value),
        *feeding,
    )


def _transferable(instance: Instance) -> tuple[IntArray, tuple[IntArray, ...]]:
    """ATS with a finite price whose servers hang on no other such ATS, and those servers."""
    ats = np.flatnonzero(instance.node_alt >= 0)
    behind = behind_ats(instance, ats)
    single = behind.sum(0) == 1
    alone = np.array([row.any() and bool(single[row].all()) for row in behind], bool)
    keep = alone & np.isfinite(instance.ats_cost[ats])
    ats, behind = ats[keep], behind[keep]
    if instance.max_ats < 1:
        return ats[:0], ()
    return ats, tuple(np.flatnonzero(row) for row in behind)


def _join(ways: tuple[Routes, Routes], other: IntArray) -> _Traced:
    """Both ways of feeding together; the second's servers become their other columns."""
    present, flipped = ways
    intact = _Entries(
        np.concatenate([present.node, flipped.node]),
        np.concatenate([present.server, other[flipped.server]]),
        np.concatenate([present.fraction, flipped.fraction]),
    )
    lost = _Entries(
        np.concatenate([present.lost_row, flipped.lost_row]),
        np.concatenate([present.lost_server, other[flipped.lost_server]]),
        np.concatenate([present.lost_fraction, flipped.lost_fraction]),
    )
    gain = lost.value - np.concatenate([present.lost_before, flipped.lost_before])
    changed = np.zeros_like(present.live)
    changed.ravel()[lost.row[np.abs(gain) > _EQUAL]] = True
    same: BoolArray = np.logical_and(present.live, ~changed)
    same[0] = False
    return _Traced(intact, lost, gain, changed, same)


def _needed(instance: Instance, traced: _Traced, stands_for: IntArray) -> IntArray:
    """Rows that can bind while nothing is broken yet.

    Where a loss adds no load the intact row is stricter, unless the margin or the limit after a
    loss is: then an unchanged row is kept once for the node.
    """
    keep = np.zeros(traced.changed.size, bool)
    keep[traced.lost.row[traced.gain > _EQUAL]] = True
    keep &= stands_for == np.arange(keep.size)
    stricter = (instance.z_n1 > instance.z_base) | (instance.limit_n1_w < instance.limit_base_w)
    keep[_without_gain(traced, np.flatnonzero(stricter))] = True
    keep[np.unique(traced.intact.row)] = True
    return np.flatnonzero(keep)


def _outdone(traced: _Traced, stands_for: IntArray, broken: IntArray) -> IntArray:
    """Rows that broken rows would stand for."""
    weaker = np.flatnonzero(np.isin(stands_for, broken))
    nodes = traced.changed.shape[1]
    return np.union1d(weaker, _without_gain(traced, broken[broken < nodes]))


def _without_gain(traced: _Traced, nodes: IntArray) -> IntArray:
    """Of each node one row that a loss leaves alone, and all rows that a loss changes."""
    count = traced.changed.shape[1]
    once = nodes[traced.same[:, nodes].any(0)]
    case, index = np.nonzero(traced.changed[:, nodes])
    return np.concatenate(
        [traced.same[:, once].argmax(0) * count + once, case * count + nodes[index]]
    )


def _monotone(instance: Instance) -> bool:
    """Whether more of a server on a node always means more load there."""
    watts = (instance.server_idle_w, instance.server_eff, instance.wl_w, instance.wl_factor_w)
    return all(float(array.min(initial=0)) >= 0 for array in watts)


def _dominator(instance: Instance, traced: _Traced) -> IntArray:
    """[(1+K) N] the row that makes a row redundant (the same node, its feed lost), or itself."""
    nodes, rows = len(instance.node_parent), traced.changed.size
    itself = np.arange(rows)
    if not _monotone(instance) or not len(traced.gain):
        return itself
    above = _feed_case(instance)
    feed_row = (above[:, None] * nodes + np.arange(nodes)).ravel()
    lost, gain = traced.lost, traced.gain
    columns = int(lost.column.max()) + 1
    key = lost.row * columns + lost.column
    order = np.argsort(key)
    wanted = feed_row[lost.row] * columns + lost.column
    at = order[np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)]
    of_feed = np.where(key[at] == wanted, gain[at], 0)
    stronger = np.zeros(rows, bool)
    stronger[lost.row[of_feed < gain - _EQUAL]] = True
    loses = np.zeros(rows, bool)
    loses[lost.row[gain < -_EQUAL]] = True
    redundant = traced.changed.ravel() & ~stronger & ~loses[feed_row]
    return np.where(redundant, feed_row, itself)


def _feed_case(instance: Instance) -> IntArray:
    """[1+K] the case in which the feed above a case's lost node is lost; its own if not listed."""
    case_of = {int(node): 1 + j for j, node in enumerate(instance.contingency)}
    out = np.arange(1 + len(instance.contingency))
    for node, case in case_of.items():
        top = node
        while instance.node_parent[top] >= 0:
            top = int(instance.node_parent[top])
        out[case] = case_of.get(top, case)
    return out


def _coefficients(instance: Instance, traced: _Traced, row: IntArray) -> _Entries:
    """Entries of the kept rows: the intact fraction, or the one after the loss where it differs."""
    nodes, intact, lost = len(instance.node_parent), traced.intact, traced.lost
    columns = 1 + int(intact.column.max(initial=0))
    order = np.argsort(intact.row, kind="stable")
    begin = np.searchsorted(intact.row[order], row % nodes)
    length = np.searchsorted(intact.row[order], row % nodes, side="right") - begin
    offset = np.repeat(begin - np.cumsum(length) + length, length) + np.arange(length.sum())
    index = np.repeat(np.arange(len(row)), length)
    entry = order[offset]
    slot = np.full((1 + len(instance.contingency)) * nodes, -1)
    slot[row] = np.arange(len(row))
    kept = slot[lost.row] >= 0
    key = np.concatenate(
        [
            index * columns + intact.column[entry],
            slot[lost.row[kept]] * columns + lost.column[kept],
        ]
    )
    value = np.concatenate([intact.value[entry], traced.gain[kept]])
    key, where = np.unique(key, return_inverse=True)
    total = tally(where, value, len(key))
    used = np.abs(total) > _EQUAL
    return _Entries(key[used] // columns, key[used] % columns, total[used])
