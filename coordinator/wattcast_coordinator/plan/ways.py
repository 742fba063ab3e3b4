"""What servers on a way draw together, and which fractions of it pass through which row."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from wattcast_coordinator.aggregate.loads import ServerLoads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Entries:
    """Fractions of power through rows, by way: of a server's, ``fraction @ part`` passes.

    Attributes:
        row, way: [entries].
        fraction: [entries, 2] of a server entirely on its first cord, and on its second.
    """

    row: IntArray
    way: IntArray
    fraction: FloatArray

    def some(self, which: np.ndarray) -> "Entries":
        """A selection of the entries, or another order."""
        return Entries(self.row[which], self.way[which], self.fraction[which])

    def moments(self, loads: "WayLoads", rows: int) -> tuple[FloatArray, FloatArray]:
        """[rows, H + R] mean watts beside factor loadings, and [rows] own variance.

        The entries are sorted by row.
        """
        start = np.searchsorted(self.row, np.arange(rows + 1))
        first, second = self.fraction.T
        square = np.stack([first**2, 2 * first * second, second**2], axis=1)
        ways = len(loads.variance) // 3
        return (
            self._matrix(self.fraction, start, ways) @ loads.linear,
            self._matrix(square, start, ways) @ loads.variance,
        )

    def _matrix(self, values: FloatArray, start: IntArray, ways: int) -> sp.csr_array:
        """[rows, width * ways] of values [entries, width]."""
        width = values.shape[1]
        column = width * self.way[:, None] + np.arange(width)
        shape = (len(start) - 1, width * ways)
        return sp.csr_array((values.ravel(), column.ravel(), width * start), shape)


@dataclass(frozen=True, slots=True)
class WayLoads:
    """What all servers of a way draw together.

    Attributes:
        linear: [2 ways, H + R] mean watts beside factor loadings, by way and cord.
        variance: [3 ways] own variance of first with first, first with second, second with second.
    """

    linear: FloatArray
    variance: FloatArray


def way_loads(loads: ServerLoads, way: IntArray, part: FloatArray, count: int) -> WayLoads:
    """Add loads of servers up by way.

    Args:
        loads: of the servers.
        way: [S] way of each server.
        part: [S, 2] its shares of the cords.
        count: number of ways.
    """
    servers = np.arange(len(way))
    columns = (2 * way[:, None] + np.arange(2)).ravel()
    add = sp.csr_array((part.ravel(), (columns, np.repeat(servers, 2))), (2 * count, len(way)))
    first, second = part.T
    weights = np.stack([first**2, first * second, second**2])
    variance = [tally(way, weight * loads.variance, count) for weight in weights]
    values = np.hstack([loads.mean_w, loads.factor_w])
    return WayLoads(np.asarray(add @ values), np.stack(variance, axis=1).ravel())
