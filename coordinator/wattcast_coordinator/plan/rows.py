"""The planner's constraints: one row a (case, node) that can bind, one column a way of feeding.

Columns 0..S-1 feed each server as the instance's ATS positions say. Each server behind a
transferable ATS has one further column: fed with that ATS on its other source.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Rows:
    """Sparse constraints, by column (``start``, ``row``, ``value``).

    Attributes:
        case, node: [rows] what each row is; case 0 is the intact room.
        limit_w, z: [rows] its limit and its margin in standard deviations.
        start: [columns + 1], row, value: the entries of each column.
        by_row: the same entries by row: start [rows + 1], column, value.
        other: [S] a server's column when its ATS stands on the other source, else its own.
        ats: nodes that may be transferred; ats_servers: the servers behind each.
    """

    case: IntArray
    node: IntArray
    limit_w: FloatArray
    z: FloatArray
    start: IntArray
    row: IntArray
    value: FloatArray
    by_row: tuple[IntArray, IntArray, FloatArray]
    other: IntArray
    ats: IntArray
    ats_servers: tuple[IntArray, ...]

    def dense(self, row: int) -> FloatArray:
        """[columns] fractions of one row."""
        start, column, value = self.by_row
        part = slice(start[row], start[row + 1])
        out = np.zeros(len(self.start) - 1)
        out[column[part]] = value[part]
        return out

    def column(self, column: int) -> tuple[IntArray, FloatArray]:
        """Rows and fractions of one column."""
        part = slice(self.start[column], self.start[column + 1])
        return self.row[part], self.value[part]


def quantiles(instance: Instance, rows: Rows) -> FloatArray:
    """[rows, H] loads of the present state."""
    linear, variance = row_moments(instance, rows)
    mean_w, factor_w = np.split(linear, [len(instance.growth)], axis=1)
    sigma_w = np.sqrt((factor_w**2).sum(1) + variance)
    return np.asarray(mean_w + (rows.z * sigma_w)[:, None] * instance.growth)


def row_moments(instance: Instance, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """[rows, H + R] mean watts beside factor loadings, and [rows] own variance, at present."""
    loads = server_loads(instance, instance.wl_server)
    servers, count = len(loads.variance), len(rows.limit_w)
    server = np.repeat(np.arange(servers), np.diff(rows.start)[:servers])
    row, value = rows.row[: len(server)], rows.value[: len(server)]
    columns = np.hstack([loads.mean_w, loads.factor_w]).T
    linear = [tally(row, value * column[server], count) for column in columns]
    variance = tally(row, value**2 * loads.variance[server], count)
    return np.stack(linear, axis=1), variance
