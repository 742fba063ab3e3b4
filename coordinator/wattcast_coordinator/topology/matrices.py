"""The power graph compiled into sparse matrices: loads of all nodes in all cases by one product.

A row is one node in one case, a column one sum of a bucket (see ``buckets``). Rows of a loss hold
the *change* against the room as it is. Rows to which the loss adds load are marked: a node that a
loss relieves or leaves alone carries no more than its row of the room as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.topology.buckets import PAIR, Buckets, Gather, group
from wattcast_coordinator.topology.entries import Block, combine, draw, whole
from wattcast_coordinator.topology.feeding import Feeding, energise
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

_EQUAL = 1e-12


@dataclass(frozen=True, eq=False)  # no slots: the selections are kept once made
class Matrices:
    """A network with its contingencies, compiled; R rows of losses.

    Attributes:
        lost: nodes that each contingency takes out.
        out: nodes out of service in every case.
        base: [N] rows of the room as it is.
        change: [R] changes by a loss, by (case, node); dead nodes have no row.
        case, node: [R] of each row; case 1 + j is the j-th contingency.
        adds: [R] whether the loss adds load of any server.
        kept: [R] those of them that no other stands for: False where the loss of something
            further up adds at least as much of every server to the same node. Sound only while
            loadings on factors are not negative.
    """

    network: Network
    lost: tuple[IntArray, ...]
    out: IntArray
    feeding: Feeding
    buckets: Buckets
    base: Block
    change: Block
    case: IntArray
    node: IntArray
    adds: BoolArray
    kept: BoolArray

    def dark_servers(self, case: int) -> IntArray:
        """Servers without the cords that they need, in a case."""
        cord = self.buckets.cord
        live = (cord >= 0) & self.feeding.live[cord, case]
        return np.flatnonzero((live.sum(1) < self.buckets.needed)[self.buckets.of])

    @cached_property
    def adding(self) -> "Matrices":
        """The same with the rows only to which a loss adds load."""
        return self._only(self.adds)

    @cached_property
    def undominated(self) -> "Matrices":
        """The same with the rows only that no other stands for."""
        return self._only(self.kept)

    def of_case(self, case: int) -> "Matrices":
        """The same with the rows of one case only."""
        return self._only(self.case == case)

    def _only(self, rows: BoolArray) -> "Matrices":
        return replace(
            self,
            change=self.change[rows],
            case=self.case[rows],
            node=self.node[rows],
            adds=self.adds[rows],
            kept=self.kept[rows],
        )


def build(network: Network, lost: Sequence[IntArray], out: IntArray | None = None) -> Matrices:
    """Compile; again whenever the topology, a switch or a share changes.

    Args:
        network: the room.
        lost: nodes that each contingency takes out.
        out: nodes out of service in every case.
    """
    feeding, buckets = energise(network, lost, out), group(network)
    every, still = np.arange(len(buckets.kind)), np.zeros(len(buckets.kind), np.int64)
    present = draw(buckets, feeding, every, still, still, feeding.live)
    base = whole(present, (len(network), buckets.columns))
    bucket, case = np.nonzero(touched(buckets, feeding)[:, 1:])
    case += 1
    new = draw(buckets, feeding, bucket, case, case, feeding.live)
    old = draw(buckets, feeding, bucket, np.zeros_like(case), case, feeding.live)
    row, change = combine([(1, new), (-1, old)], feeding.live.size, buckets.columns)
    case, node = np.divmod(row, len(network))
    comparable = change.linear @ _two_numbers(buckets)
    adds = _row_max(comparable) > _EQUAL
    kept = adds.copy()
    kept[adds] = _undominated(feeding, lost, (case[adds], node[adds]), comparable[adds])
    gone = np.zeros(0, np.int64) if out is None else out
    return Matrices(
        network, tuple(lost), gone, feeding, buckets, base, change, case, node, adds, kept
    )


def touched(buckets: Buckets, feeding: Feeding) -> BoolArray:
    """[NB,1+K] buckets of which a cord lives, dies or is fed another way than in case 0."""
    out = np.zeros((len(buckets.kind), feeding.live.shape[1]), bool)
    for leaf in buckets.cord.T:
        used = np.flatnonzero(leaf >= 0)
        at = leaf[used]
        live = feeding.live[at]
        out[used] |= (live != live[:, :1]) | (live & feeding.rerouted[at])
    return out


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
    change_x, change_v = matrices.change.apply(sums_x, sums_v)
    return base_x, base_v, change_x + base_x[matrices.node], change_v + base_v[matrices.node]
