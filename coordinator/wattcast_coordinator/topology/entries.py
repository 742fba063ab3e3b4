"""What buckets of servers draw through which node in a case, as sparse coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.topology.buckets import MANY, PAIR, Buckets, fractions, pair_leaves
from wattcast_coordinator.topology.feeding import Feeding
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray


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
class Entries:
    """Coefficients by row (place * N + node) and column; ``many`` ones are not yet added up."""

    row: IntArray
    column: IntArray
    value: FloatArray
    many: BoolArray


def draw(
    buckets: Buckets,
    feeding: Feeding,
    bucket: IntArray,
    state: IntArray,
    place: IntArray,
    live: BoolArray,
) -> Entries:
    """What buckets draw through each node.

    Args:
        buckets: of the network.
        feeding: the cases.
        bucket: [M] which.
        state: [M] case of ``feeding`` in which each is fed.
        place: [M] block of N rows that each is written to.
        live: [N,places] rows that are wanted.
    """
    many = buckets.kind[bucket] == MANY
    plain = ~many
    parts = [
        *_plain(buckets, feeding, bucket[plain], state[plain], place[plain]),
        *_many(buckets, feeding, bucket[many], state[many], place[many]),
    ]
    node, where, column, value, kind = (np.concatenate(p) for p in zip(*parts, strict=True))
    wanted = live[node, where]
    row = where[wanted] * len(feeding.network) + node[wanted]
    return Entries(row, column[wanted], value[wanted], kind[wanted])


def combine(
    signed: Sequence[tuple[int, Entries]], size: int, columns: int
) -> tuple[IntArray, Block]:
    """Sum of coefficients with signs: the rows that have any, and their block.

    Args:
        signed: (+1 or -1, coefficients).
        size: number of possible rows.
        columns: number of columns.
    """
    filled = np.zeros(size, bool)
    for _, entries in signed:
        filled[entries.row] = True
    row = np.flatnonzero(filled)
    place = np.empty(size, np.int64)
    place[row] = np.arange(len(row))
    return row, _added(signed, place, (len(row), columns))


def whole(entries: Entries, shape: tuple[int, int]) -> Block:
    """All rows of one set of coefficients."""
    return _added([(1, entries)], np.arange(shape[0]), shape)


def _added(signed: Sequence[tuple[int, Entries]], place: IntArray, shape: tuple[int, int]) -> Block:
    every = [(sign, e, place[e.row]) for sign, e in signed]
    plain = _sparse([(s, e, at, ~e.many) for s, e, at in every], shape)
    if not any(e.many.any() for _, e in signed):
        return Block(plain, plain)
    many = [(s, _sparse([(1, e, at, e.many)], shape)) for s, e, at in every]
    linear, square = plain, plain
    for sign, matrix in many:  # a server's ways add up before they are squared
        linear, square = linear + sign * matrix, square + sign * matrix.power(2)
    return Block(_clean(linear), _clean(square))


def _sparse(
    parts: Sequence[tuple[int, Entries, IntArray, BoolArray]], shape: tuple[int, int]
) -> sp.csr_array:
    row = np.concatenate([at[use] for _, _, at, use in parts])
    column = np.concatenate([e.column[use] for _, e, _, use in parts])
    value = np.concatenate([sign * e.value[use] for sign, e, _, use in parts])
    return _clean(sp.csr_array(sp.coo_array((value, (row, column)), shape)))


def _clean(matrix: sp.csr_array) -> sp.csr_array:
    matrix.eliminate_zeros()
    return matrix


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
