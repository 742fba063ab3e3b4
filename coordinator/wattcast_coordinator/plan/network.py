"""How power reaches servers in all cases, at present and with each ATS on its other source.

Servers with the same cords are fed alike, on one *way*. A server that takes the shares ``p`` and
``1 - p`` from its two cords draws, through every node and after every loss, ``p`` of what one
entirely on the first cord would and ``1 - p`` of what one entirely on the second would.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.plan.ways import Entries
from wattcast_coordinator.topology.buckets import PAIR, Buckets
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_coordinator.topology.matrices import Matrices, build
from wattcast_coordinator.topology.network import of_instance
from wattcast_core.units import FloatArray

EQUAL = 1e-12  # fractions closer than this are the same
_NO_SHARE = 1e-9  # with no share stated, live cords share alike


@dataclass(frozen=True, slots=True)
class Network:
    """All fractions of power through all live nodes in all cases; rows are case * N + node.

    Attributes:
        way, part: [S] and [S, 2] the present way of each server, and its shares of the cords.
        other: [S] a server's way when its ATS stands on the other source, else its own.
        count: number of ways, present ones first.
        ats: nodes that may be transferred; ats_servers: the servers behind each.
        intact: entries of the intact room.
        lost: entries of the losses that differ from the intact ones.
        gain: [entries, 2] by how much.
        changed: [1+K, N] rows whose load a loss changes.
        same: [1+K, N] rows of losses that leave a live node's load as it is.
    """

    way: IntArray
    part: FloatArray
    other: IntArray
    count: int
    ats: IntArray
    ats_servers: tuple[IntArray, ...]
    intact: Entries
    lost: Entries
    gain: FloatArray
    changed: BoolArray
    same: BoolArray


def trace_network(instance: Instance) -> Network:
    """Compile the room as it is fed, and once more what hangs on transferable ATS."""
    lost = [np.array([node]) for node in instance.contingency]
    room = of_instance(instance)
    present = build(room, lost)
    ats, groups = _transferable(instance, present.buckets)
    behind = np.concatenate([np.zeros(0, np.int64), *groups])
    both, count, other = [present], len(present.buckets.kind), present.buckets.of.copy()
    if len(behind):
        source = instance.ats_source.copy()
        source[ats] = 1 - source[ats]
        rest = {name: getattr(room, name)[behind] for name in ("cord", "share", "needed")}
        flipped = build(replace(room, source=source, **rest), lost)
        other[behind] = count + flipped.buckets.of
        both, count = [present, flipped], count + len(flipped.buckets.kind)
    intact = _joined([_entries(m, m.base.linear, 0) for m in both], both)
    change = [_entries(m, m.change.linear, m.case * len(room) + m.node) for m in both]
    gain = _joined(change, both)
    changed = np.zeros(present.feeding.live.T.shape, bool)
    changed.ravel()[gain.row] = True
    same: BoolArray = present.feeding.live.T & ~changed
    same[0] = False
    return Network(
        present.buckets.of,
        _parts(instance, present.buckets),
        other,
        count,
        ats,
        groups,
        intact,
        _after(intact, gain, len(room), count),
        gain.fraction,
        changed,
        same,
    )


def _transferable(instance: Instance, buckets: Buckets) -> tuple[IntArray, tuple[IntArray, ...]]:
    """ATS with a finite price whose servers hang on no other such ATS, and those servers."""
    above = _ats_above(instance)
    ways: dict[int, list[int]] = {}
    mixed = set[int]()
    for way, cords in enumerate(buckets.cord):
        over = frozenset[int]().union(*(above[node] for node in cords if node >= 0))
        for ats in over:
            ways.setdefault(ats, []).append(way)
        if len(over) > 1:
            mixed |= over
    may = instance.max_ats > 0
    ats = [n for n in sorted(ways) if may and n not in mixed and np.isfinite(instance.ats_cost[n])]
    order = np.argsort(buckets.of, kind="stable")
    start = np.searchsorted(buckets.of[order], np.arange(len(buckets.kind) + 1))
    servers = [[order[start[way] : start[way + 1]] for way in ways[n]] for n in ats]
    return np.array(ats, np.int64), tuple(np.sort(np.concatenate(group)) for group in servers)


def _ats_above(instance: Instance) -> list[frozenset[int]]:
    """Of each node the ATS through which it can be fed, itself included."""
    out: list[frozenset[int]] = []
    for node, sources in enumerate(zip(instance.node_parent, instance.node_alt, strict=True)):
        over = frozenset[int]().union(*(out[source] for source in sources if source >= 0))
        out.append(over | {node} if sources[1] >= 0 else over)
    return out


def _parts(instance: Instance, buckets: Buckets) -> FloatArray:
    """[S, 2] shares of the two cords, adding up to one; (1, 0) where there are not just two."""
    share = np.where(instance.server_cord >= 0, instance.server_share, 0.0)
    share[share.sum(1) < _NO_SHARE] = 1.0
    share[buckets.kind[buckets.of] != PAIR] = (1.0, 0.0)
    return np.asarray(share / share.sum(1, keepdims=True))


def _entries(matrices: Matrices, block: sp.csr_array, row: IntArray | int) -> Entries:
    """A block's coefficients as fractions of a server on the first, and on the second cord."""
    buckets = matrices.buckets
    pair = buckets.kind == PAIR
    way = np.repeat(np.arange(len(pair)), np.where(pair, 3, 1))
    sides = np.ones((buckets.columns, 2))
    sides[buckets.column[pair]] = (1.0, 0.0)
    sides[buckets.column[pair] + 1] = (0.0, 1.0)
    entries = block.tocoo()
    at, column = (np.asarray(axis, np.int64) for axis in entries.coords)
    rows = at if isinstance(row, int) else row[at]
    return Entries(rows, way[column], entries.data[:, None] * sides[column])


def _joined(parts: list[Entries], both: list[Matrices]) -> Entries:
    """Both feedings' entries, sorted by row and way; the second's ways come after the first's."""
    first = (0, len(both[0].buckets.kind))
    row = np.concatenate([part.row for part in parts])
    way = np.concatenate([part.way + skip for part, skip in zip(parts, first, strict=False)])
    fraction = np.concatenate([part.fraction for part in parts])
    count = int(way.max(initial=-1)) + 1
    key, where = np.unique(row * count + way, return_inverse=True)
    total = np.stack([tally(where, side, len(key)) for side in fraction.T], axis=1)
    used = (np.abs(total) > EQUAL).any(1)
    key = key[used]
    return Entries(key // count, key % count, total[used])


def _after(intact: Entries, gain: Entries, nodes: int, count: int) -> Entries:
    """What the changed entries are after the loss."""
    key, wanted = intact.row * count + intact.way, gain.row % nodes * count + gain.way
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    before = np.where((key[at] == wanted)[:, None], intact.fraction[at], 0.0)
    return Entries(gain.row, gain.way, before + gain.fraction)
