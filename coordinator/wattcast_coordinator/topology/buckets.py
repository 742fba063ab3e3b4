"""Servers with the same cords, and the few numbers through which their load enters the matrices.

What a loss does to a server depends on its cords alone. So servers are added up first: a bucket
holds all servers with the same cords. Of servers with two cords, either of which suffices, three
sums are needed, the parts on each cord while both live (``a``, ``b``) and the whole (``all``),
which a survivor takes. Other servers with several cords (more than two, or more than one needed)
share a bucket only if their shares agree too; their fractions then stand in the matrices.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

NONE, SINGLE, PAIR, MANY = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """NB buckets of a network.

    Attributes:
        of: [S] bucket of each server.
        kind: [NB] NONE (no cord), SINGLE, PAIR (two, one suffices) or MANY.
        cord, share, needed: [NB,C], [NB,C], [NB] as in Network; shares count in MANY only.
        column: [NB] of its first sum; a PAIR has a, b and all, others one.
        columns: number of sums.
    """

    of: IntArray
    kind: IntArray
    cord: IntArray
    share: FloatArray
    needed: IntArray
    column: IntArray
    columns: int


def group(network: Network) -> Buckets:
    """Put servers with the same cords together."""
    cords = (network.cord >= 0).sum(1)
    kind = np.select(
        [cords == 0, (cords == 1) & (network.needed == 1), (cords == 2) & (network.needed == 1)],
        [NONE, SINGLE, PAIR],
        MANY,
    )
    many = kind == MANY
    shares = np.where(many[:, None], np.round(network.share * 1e6).astype(np.int64), -1)
    key = np.hstack([network.cord, shares, np.where(many, network.needed, -1)[:, None]])
    _, first, of = np.unique(_packed(key), return_index=True, return_inverse=True)
    width = np.where(kind[first] == PAIR, 3, 1)
    return Buckets(
        of.ravel(),
        kind[first],
        network.cord[first],
        network.share[first],
        network.needed[first],
        np.cumsum(width) - width,
        int(width.sum()),
    )


def _packed(key: IntArray) -> np.ndarray:
    """Rows as opaque values: faster to sort than ``np.unique(axis=0)``."""
    rows = np.ascontiguousarray(key)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Adds servers up to the sums of their buckets.

    Attributes:
        linear: [columns,S] for powers and loadings.
        square: [columns,S] for variances: the same shares squared.
    """

    linear: sp.csr_array
    square: sp.csr_array


def gather(buckets: Buckets, share: FloatArray) -> Gather:
    """How servers enter the sums of their buckets.

    Args:
        buckets: of the network.
        share: [S,C] of each cord. Where the split is uncertain, give what each cord may carry at
            most: the columns may then add up to more than 1.
    """
    server = np.arange(len(buckets.of))
    pair = buckets.kind[buckets.of] == PAIR
    whole = buckets.column[buckets.of] + 2 * pair
    ones = np.ones(len(server))
    row, column, value = [whole], [server], [ones]
    sides = _live_first(buckets.cord)[buckets.of[pair]]
    for side in (0, 1) if pair.any() else ():
        row.append(whole[pair] - 2 + side)
        column.append(server[pair])
        value.append(share[pair, sides[:, side]])
    shape = (buckets.columns, len(server))
    entries = np.concatenate(value)
    at = (np.concatenate(row), np.concatenate(column))
    return Gather(
        sp.csr_array(sp.coo_array((entries, at), shape)),
        sp.csr_array(sp.coo_array((entries**2, at), shape)),
    )


def _live_first(cord: IntArray) -> IntArray:
    """[NB,C] indices of cords, used ones first."""
    return np.argsort(cord < 0, axis=1, kind="stable")


def pair_leaves(buckets: Buckets) -> IntArray:
    """[NB,2] leaves of the first two used cords, -1 = none."""
    order = _live_first(buckets.cord)[:, :2]
    leaves = np.take_along_axis(buckets.cord, order, 1)
    if leaves.shape[1] < 2:
        leaves = np.hstack([leaves, np.full((len(leaves), 2 - leaves.shape[1]), -1)])
    return leaves


def fractions(buckets: Buckets, which: IntArray, live: BoolArray) -> FloatArray:
    """[M,C] of the power of MANY buckets through each cord.

    Dead cords hand their share to the live ones; where only idle ones are left, these share
    evenly; with fewer live cords than needed the server draws nothing.
    """
    weight = buckets.share[which] * live
    standby = (weight.sum(1) < 1e-9) & live.any(1)
    weight = np.where(standby[:, None], live, weight)
    total = weight.sum(1, keepdims=True)
    out = np.divide(weight, total, out=np.zeros(weight.shape), where=total > 0)
    return np.asarray(out * (live.sum(1) >= buckets.needed[which])[:, None])
