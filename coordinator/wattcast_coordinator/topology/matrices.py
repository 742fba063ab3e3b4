"""The power graph compiled into sparse matrices: loads of all nodes in all cases by one product.

A row is one node in one case, a column one sum of a bucket (see ``buckets``). Rows of a loss hold
the *change* against the room as it is, and only where load is added: a node that a loss relieves
or leaves alone carries no more than its row of the room as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.topology.buckets import (
    MANY,
    PAIR,
    Buckets,
    Gather,
    fractions,
    group,
    pair_leaves,
)
from wattcast_coordinator.topology.feeding import Feeding, energise
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

_EQUAL = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Sparse coefficients: ``linear`` for powers and loadings, ``square`` for variances."""

    linear: sp.csr_array
    square: sp.csr_array

    def __getitem__(self, rows: IntArray | BoolArray) -> "Block":
        linear = self.linear[rows]
        return Block(linear, linear if self.square is self.linear else self.square[rows])

    def apply(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[rows,X] and [rows] of sums [columns,X] and variances [columns]."""
        if self.square is self.linear:
            both = self.linear @ np.hstack([values, variance[:, None]])
            return both[:, :-1], both[:, -1]
        return self.linear @ values, self.square @ variance


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """A network with its contingencies, compiled; R rows of losses.

    Attributes:
        lost: nodes that each contingency takes out.
        base: [N] rows of the room as it is.
        gain: [R] changes where a loss adds load, by (case, node).
        case, node: [R] of each row; case 1 + j is the j-th contingency.
        kept: [R] False where the loss of something further up adds at least as much of every
            server to the same node. Sound only while loadings on factors are not negative.
    """

    network: Network
    lost: tuple[IntArray, ...]
    feeding: Feeding
    buckets: Buckets
    base: Block
    gain: Block
    case: IntArray
    node: IntArray
    kept: BoolArray

    def dark_servers(self, case: int) -> IntArray:
        """Servers without the cords that they need, in a case."""
        cord = self.buckets.cord
        live = (cord >= 0) & self.feeding.live[cord, case]
        return np.flatnonzero((live.sum(1) < self.buckets.needed)[self.buckets.of])

    def only(self, rows: BoolArray) -> "Matrices":
        """The same with some of the rows."""
        return Matrices(
            self.network,
            self.lost,
            self.feeding,
            self.buckets,
            self.base,
            self.gain[rows],
            self.case[rows],
            self.node[rows],
            self.kept[rows],
        )


def build(network: Network, lost: Sequence[IntArray], out: IntArray | None = None) -> Matrices:
    """Compile; again whenever the topology, a switch or a share changes.

    Args:
        network: the room.
        lost: nodes that each contingency takes out.
        out: nodes out of service in every case.
    """
    feeding = energise(network, lost, out)
    buckets = group(network)
    every = np.arange(len(buckets.kind))
    still = np.zeros(len(every), np.int64)
    shape = (len(network), buckets.columns)
    base = _block(_entries(buckets, feeding, every, still, still), shape)
    bucket, case = np.nonzero(_touched(buckets, feeding)[:, 1:])
    case += 1
    new = _entries(buckets, feeding, bucket, case, case)
    old = _entries(buckets, feeding, bucket, np.zeros_like(case), case)
    row = np.unique(new.row)
    change = _change(row, new, old, buckets.columns)
    comparable = change.linear @ _two_numbers(buckets)
    gains = np.flatnonzero(_row_max(comparable) > _EQUAL)
    case, node = np.divmod(row[gains], len(network))
    kept = _undominated(feeding, lost, (case, node), comparable[gains])
    return Matrices(network, tuple(lost), feeding, buckets, base, change[gains], case, node, kept)


@dataclass(frozen=True, slots=True)
class _Entries:
    """Coefficients: row = case * N + node, column, value; ``many`` ones are not yet added up."""

    row: IntArray
    column: IntArray
    value: FloatArray
    many: BoolArray


def _touched(buckets: Buckets, feeding: Feeding) -> BoolArray:
    """[NB,1+K] buckets of which a cord lives, dies or is fed another way than in case 0."""
    out = np.zeros((len(buckets.kind), feeding.live.shape[1]), bool)
    for leaf in buckets.cord.T:
        used = np.flatnonzero(leaf >= 0)
        at = leaf[used]
        live = feeding.live[at]
        out[used] |= (live != live[:, :1]) | (live & feeding.rerouted[at])
    return out


def _entries(
    buckets: Buckets, feeding: Feeding, bucket: IntArray, state: IntArray, case: IntArray
) -> _Entries:
    """What buckets, fed as in case ``state``, draw through the nodes that live in ``case``."""
    many = buckets.kind[bucket] == MANY
    plain = ~many
    parts = [
        *_plain(buckets, feeding, bucket[plain], state[plain], case[plain]),
        *_many(buckets, feeding, bucket[many], state[many], case[many]),
    ]
    node, where, column, value, kind = (np.concatenate(p) for p in zip(*parts, strict=True))
    live = feeding.live[node, where]
    row = where[live] * len(feeding.network) + node[live]
    return _Entries(row, column[live], value[live], kind[live])


_Part = tuple[IntArray, IntArray, IntArray, FloatArray, BoolArray]


def _plain(
    buckets: Buckets, feeding: Feeding, bucket: IntArray, state: IntArray, case: IntArray
) -> list[_Part]:
    """SINGLE and PAIR buckets: a and b on separate ways, all where one cord or way is left."""
    leaf = pair_leaves(buckets)[bucket]
    live = (leaf >= 0) & feeding.live[leaf, state[:, None]]
    ways = [np.where(live[:, [side]], feeding.paths(leaf[:, side], state), -1) for side in (0, 1)]
    both: BoolArray = np.logical_and(live[:, 0], live[:, 1])
    meet = _meeting(ways, both)
    start = buckets.column[bucket]
    whole = start + 2 * (buckets.kind[bucket] == PAIR)
    apart = np.where(both[:, None] & ~meet[0], start[:, None], whole[:, None])
    first = _part(ways[0], case, apart)
    ways[1][meet[1]] = -1  # counted on the first cord's way
    second = _part(ways[1], case, np.where(both, start + 1, whole)[:, None])
    return [first, second]


def _meeting(ways: list[IntArray], both: BoolArray) -> list[BoolArray]:
    """[M,D] of each way, whether its nodes are on the other way too."""
    roots = [np.where(way >= 0, way, np.iinfo(np.int64).max).min(1) for way in ways]
    same = np.flatnonzero(both & (roots[0] == roots[1]))
    equal = ways[0][same][:, :, None] == ways[1][same][:, None, :]
    out = [np.zeros(way.shape, bool) for way in ways]
    out[0][same] = equal.any(2) & (ways[0][same] >= 0)
    out[1][same] = equal.any(1) & (ways[1][same] >= 0)
    return out


def _part(way: IntArray, case: IntArray, column: IntArray) -> _Part:
    which, step = np.nonzero(way >= 0)
    count = len(which)
    wanted = np.broadcast_to(column, way.shape)[which, step]
    return way[which, step], case[which], wanted, np.ones(count), np.zeros(count, bool)


def _many(
    buckets: Buckets, feeding: Feeding, bucket: IntArray, state: IntArray, case: IntArray
) -> list[_Part]:
    """MANY buckets: their fractions on each cord's way."""
    cord = buckets.cord[bucket]
    live = (cord >= 0) & feeding.live[cord, state[:, None]]
    share = fractions(buckets, bucket, live)
    parts = []
    for side in range(cord.shape[1]):
        used = np.flatnonzero(live[:, side] & (share[:, side] > 0))
        way = feeding.paths(cord[used, side], state[used])
        which, step = np.nonzero(way >= 0)
        at = used[which]
        parts.append(
            (
                way[which, step],
                case[at],
                buckets.column[bucket[at]],
                share[at, side],
                np.ones(len(at), bool),
            )
        )
    return parts


def _block(entries: _Entries, shape: tuple[int, int]) -> Block:
    plain = _sparse(entries, ~entries.many, entries.row, shape)
    if not entries.many.any():
        return Block(plain, plain)
    many = _sparse(entries, entries.many, entries.row, shape)
    return Block(_clean(plain + many), _clean(plain + many.power(2)))


def _change(row: IntArray, new: _Entries, old: _Entries, columns: int) -> Block:
    """New less old coefficients of the rows; rows that only lose something are left out."""
    places = (np.searchsorted(row, new.row), np.searchsorted(row, old.row))
    kept = row[np.minimum(places[1], len(row) - 1)] == old.row if len(row) else old.many
    shape = (len(row), columns)
    blocks = []
    for entries, place, use in ((new, places[0], ~new.many | new.many), (old, places[1], kept)):
        plain = _sparse(entries, use & ~entries.many, place, shape)
        many = _sparse(entries, use & entries.many, place, shape)
        blocks.append((plain, many))
    (plain, many), (plain_old, many_old) = blocks
    difference = plain - plain_old
    if not many.nnz and not many_old.nnz:
        linear = _clean(difference)
        return Block(linear, linear)
    return Block(
        _clean(difference + many - many_old),
        _clean(difference + many.power(2) - many_old.power(2)),
    )


def _sparse(
    entries: _Entries, use: BoolArray, row: IntArray, shape: tuple[int, int]
) -> sp.csr_array:
    at = (row[use], entries.column[use])
    return sp.csr_array(sp.coo_array((entries.value[use], at), shape))


def _clean(matrix: sp.csr_array) -> sp.csr_array:
    matrix.eliminate_zeros()
    return matrix


def _two_numbers(buckets: Buckets) -> sp.csr_array:
    """[columns,columns] a and b as they are, all as a + b: so that coefficients compare."""
    pair = buckets.column[buckets.kind == PAIR]
    stays = np.setdiff1d(np.arange(buckets.columns), pair + 2)
    row = np.concatenate([stays, pair + 2, pair + 2])
    column = np.concatenate([stays, pair, pair + 1])
    shape = (buckets.columns, buckets.columns)
    return sp.csr_array(sp.coo_array((np.ones(len(row)), (row, column)), shape))


def _row_max(matrix: sp.csr_array) -> FloatArray:
    return np.asarray(matrix.max(axis=1).todense()).ravel()


def _undominated(
    feeding: Feeding,
    lost: Sequence[IntArray],
    place: tuple[IntArray, IntArray],
    comparable: sp.csr_array,
) -> BoolArray:
    """[R] False where the loss of the next contingency upstream adds as much of everything."""
    case, node = place
    above = _next_above(feeding, lost)[case]
    count = len(feeding.network)
    key, wanted = case * count + node, above * count + node
    at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    found = np.flatnonzero((above > 0) & (key[at] == wanted)) if len(key) else above
    less = comparable[at[found]] - comparable[found]
    outdone = -_row_max(-less) >= -_EQUAL
    kept = np.ones(len(case), bool)
    kept[found[outdone]] = False
    return kept


def _next_above(feeding: Feeding, lost: Sequence[IntArray]) -> IntArray:
    """[1+K] case of the nearest single-node contingency on the way up from each, 0 = none."""
    case_of = np.zeros(len(feeding.network) + 1, np.int64)  # the last entry is for node -1
    single = [case for case, nodes in enumerate(lost, 1) if len(nodes) == 1]
    for case in single:
        case_of[lost[case - 1][0]] = case
    out = np.zeros(1 + len(lost), np.int64)
    for case in single:
        way = case_of[feeding.path[lost[case - 1][0], 1:]]
        out[case] = next((int(c) for c in way if c > 0), 0)
    return out


def sums(
    matrices: Matrices, gathered: Gather, values: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Values [S,X] and variances [S] of servers, added up at the nodes.

    Returns:
        [N,X], [N] of the room as it is, and [R,X], [R] of the losses' rows.
    """
    sums_x, sums_v = gathered.linear @ values, gathered.square @ variance
    base_x, base_v = matrices.base.apply(sums_x, sums_v)
    gain_x, gain_v = matrices.gain.apply(sums_x, sums_v)
    return base_x, base_v, gain_x + base_x[matrices.node], gain_v + base_v[matrices.node]
