"""What two losses do together beyond what each does alone, compiled: second differences.

The load after two losses is the load as it is, plus the change by each, plus a correction for the
servers that both touch. Most pairs touch none in common; the correction of the others is small
enough to be compiled for every pair: a server taken over only once, a switch both of whose sources
are gone, a board on its generator that takes over from a lost feed.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.topology.entries import Block, combine, draw
from wattcast_coordinator.topology.feeding import energise
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.matrices import Matrices
from wattcast_core.units import FloatArray

_PAIRS = 1024  # compiled at a time


@dataclass(frozen=True, slots=True, eq=False)
class Second:
    """Corrections of pairs of contingencies.

    Attributes:
        same_as: [K] contingency that stands for each in pairs: itself, or, where a node feeds
            nothing but one other, the lowest of the chain; losing either is the same to the rest.
        apart: [K,K] pairs to be judged: each stands for itself, neither is part of the other.
        change: [C] corrections, by (first, second, node), first < second.
        first, second, node: [C] of each row.
    """

    same_as: IntArray
    apart: BoolArray
    change: Block
    first: IntArray
    second: IntArray
    node: IntArray

    def apply(self, sums: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[C,X] and [C] of the buckets' sums."""
        return self.change.apply(sums, variance)


def compile_second(matrices: Matrices) -> Second:
    """Find the pairs that have servers in common, and compile their corrections."""
    touch = _potentially_touched(matrices)
    same_as = _chains(matrices)
    stands = same_as == np.arange(len(same_as))
    inside = _inside(matrices)
    apart = ~(inside | inside.T) & stands & stands[:, None]
    first, second = np.nonzero(np.triu(_shared(touch) & apart, 1))
    parts = [
        _corrections(matrices, touch, first[at : at + _PAIRS], second[at : at + _PAIRS])
        for at in range(0, max(len(first), 1), _PAIRS)
    ]
    linear = sp.csr_array(sp.vstack([block.linear for block, _, _ in parts]))
    plain = all(block.square is block.linear for block, _, _ in parts)
    square = linear if plain else sp.csr_array(sp.vstack([b.square for b, _, _ in parts]))
    pair = np.concatenate([at * _PAIRS + pair for at, (_, pair, _) in enumerate(parts)])
    node = np.concatenate([node for _, _, node in parts])
    return Second(same_as, apart, Block(linear, square), first[pair], second[pair], node)


def _corrections(
    matrices: Matrices, touch: BoolArray, first: IntArray, second: IntArray
) -> tuple[Block, IntArray, IntArray]:
    """Corrections of some pairs, with pair and node of each row."""
    network, buckets, one = matrices.network, matrices.buckets, matrices.feeding
    both = energise(
        network,
        [
            np.concatenate([matrices.lost[i], matrices.lost[j]])
            for i, j in zip(first, second, strict=True)
        ],
        matrices.out,
    )
    live = both.live[:, 1:]
    bucket, pair = np.nonzero(touch[:, first] & touch[:, second])
    still = np.zeros_like(pair)
    signed = [
        (1, draw(buckets, both, bucket, 1 + pair, pair, live)),
        (-1, draw(buckets, one, bucket, 1 + first[pair], pair, live)),
        (-1, draw(buckets, one, bucket, 1 + second[pair], pair, live)),
        (1, draw(buckets, one, bucket, still, pair, live)),
    ]
    row, block = combine(signed, live.size, buckets.columns)
    used = np.diff(block.linear.indptr) + np.diff(block.square.indptr) > 0
    pair, node = np.divmod(row[used], len(network))
    return block[used], pair, node


def _potentially_touched(matrices: Matrices) -> BoolArray:
    """[NB,K] buckets that can be fed through something that a contingency takes out."""
    network = matrices.network
    below = np.zeros((len(network), len(matrices.lost)), bool)
    for case, nodes in enumerate(matrices.lost):
        below[nodes, case] = True
    for nodes in network.layers:
        for source in (network.parent[nodes], network.alt[nodes]):
            below[nodes[source >= 0]] |= below[source[source >= 0]]
    touch = np.zeros((len(matrices.buckets.kind), len(matrices.lost)), bool)
    for leaf in matrices.buckets.cord.T:
        touch[leaf >= 0] |= below[leaf[leaf >= 0]]
    return touch


def _shared(touch: BoolArray) -> BoolArray:
    """[K,K] columns that have a row in common."""
    sparse = sp.csr_array(touch.astype(np.float32))
    return np.asarray((sparse.T @ sparse).toarray() > 0)


def _inside(matrices: Matrices) -> BoolArray:
    """[K,K] whether all that the loss of the row takes out is dead after that of the column."""
    live = matrices.feeding.live[:, 1:]
    return np.array([~live[nodes].any(0) for nodes in matrices.lost])


def _chains(matrices: Matrices) -> IntArray:
    """[K] the contingency that takes out the lowest node of the same chain."""
    network, count = matrices.network, len(matrices.network)
    sources = np.concatenate([network.parent, network.alt])
    used = sources >= 0
    child = np.full(count, -1)
    child[sources[used]] = np.tile(np.arange(count), 2)[used]
    only = (np.bincount(sources[used], minlength=count) == 1) & (network.alt[child] < 0)
    only &= ~np.isin(np.arange(count), network.cord)
    case_of = np.full(count, -1)
    for case, nodes in enumerate(matrices.lost):
        if len(nodes) == 1:
            case_of[nodes[0]] = case
    same_as = np.arange(len(matrices.lost))
    for node in range(count - 1, -1, -1):  # children first
        if case_of[node] >= 0 and only[node] and case_of[child[node]] >= 0:
            same_as[case_of[node]] = same_as[case_of[child[node]]]
    return same_as
