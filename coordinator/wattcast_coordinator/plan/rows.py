"""The planner's constraints: one row a (case, node) that can bind, by the ways servers are fed.

Ways 0..B-1 feed servers as the instance's ATS positions say. Each way behind a transferable ATS
has a further one: fed with that ATS on its other source.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.loads import ServerLoads
from wattcast_coordinator.plan.network import Network
from wattcast_coordinator.plan.ways import Entries, way_loads
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Rows:
    """Sparse constraints.

    Attributes:
        case, node: [rows] what each row is; case 0 is the intact room.
        limit_w, z: [rows] its limit and its margin in standard deviations.
        by_row, row_start: entries sorted by row, and where each row's begin [rows + 1].
        by_way, way_start: the same by way.
        way, part: [S] and [S, 2] the present way of each server, and how it takes from it.
        other: [S] a server's way when its ATS stands on the other source, else its own.
        ats: nodes that may be transferred; ats_servers: the servers behind each.
    """

    case: IntArray
    node: IntArray
    limit_w: FloatArray
    z: FloatArray
    by_row: Entries
    row_start: IntArray
    by_way: Entries
    way_start: IntArray
    way: IntArray
    part: FloatArray
    other: IntArray
    ats: IntArray
    ats_servers: tuple[IntArray, ...]

    def shares(self, rows: IntArray, server: IntArray, way: IntArray) -> FloatArray:
        """[rows, servers] fractions of rows that servers take on the given ways."""
        dense = np.zeros((2, len(rows), len(self.way_start) - 1))
        length = self.row_start[rows + 1] - self.row_start[rows]
        first = np.cumsum(length) - length
        at = np.arange(length.sum()) + np.repeat(self.row_start[rows] - first, length)
        index = np.repeat(np.arange(len(rows)), length)
        dense[:, index, self.by_row.way[at]] = self.by_row.fraction[at].T
        part = self.part[server]
        return np.asarray(dense[0][:, way] * part[:, 0] + dense[1][:, way] * part[:, 1])

    def column(self, server: int, way: int) -> tuple[IntArray, FloatArray]:
        """Rows and fractions of one server on a way."""
        entry = slice(self.way_start[way], self.way_start[way + 1])
        return self.by_way.row[entry], self.by_way.fraction[entry] @ self.part[server]

    def entries(self, servers: IntArray, way: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Of several servers together: start [servers + 1], row and fraction."""
        length = np.diff(self.way_start)[way]
        start = np.concatenate([[0], np.cumsum(length)])
        at = np.arange(start[-1]) + np.repeat(self.way_start[way] - start[:-1], length)
        part = np.repeat(self.part[servers], length, axis=0)
        share = (part * self.by_way.fraction[at]).sum(1)
        return start, self.by_way.row[at], share


def make_rows(
    network: Network, row: IntArray, bounds: tuple[FloatArray, FloatArray], entries: Entries
) -> Rows:
    """Rows of the given (case * N + node), (limits, z), and entries sorted by row."""
    nodes = network.changed.shape[1]
    order = np.argsort(entries.way, kind="stable")
    by_way = entries.some(order)
    return Rows(
        row // nodes,
        row % nodes,
        *bounds,
        entries,
        np.searchsorted(entries.row, np.arange(len(row) + 1)),
        by_way,
        np.searchsorted(by_way.way, np.arange(network.count + 1)),
        network.way,
        network.part,
        network.other,
        network.ats,
        network.ats_servers,
    )


def moments(rows: Rows, loads: ServerLoads) -> tuple[FloatArray, FloatArray]:
    """[rows, H + R] mean watts beside factor loadings, and [rows] own variance, as fed now."""
    ways = way_loads(loads, rows.way, rows.part, len(rows.way_start) - 1)
    return rows.by_row.moments(ways, len(rows.limit_w))


def quantile(
    linear: FloatArray, variance: FloatArray, z: FloatArray, growth: FloatArray
) -> FloatArray:
    """[..., H] quantile loads from moments [..., H + R] and [...], ``z`` deviations above mean."""
    factor = linear[..., len(growth) :]
    spread = np.einsum("...i,...i->...", factor, factor) + variance
    margin = z * np.sqrt(np.maximum(spread, 0))
    return np.asarray(linear[..., : len(growth)] + margin[..., None] * growth)
