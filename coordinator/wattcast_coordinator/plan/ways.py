"""Servers with the same pair of cords are fed alike; two probes tell how each of them is fed.

A server that takes the shares ``p`` and ``1 - p`` from its two cords draws, through every node and
after every loss, ``p`` of what a server entirely on the first cord would and ``1 - p`` of what one
entirely on the second would: lost cords hand their share to the live one in all three.
"""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_NO_SHARE = 1e-9  # with no share stated, live cords share alike


@dataclass(frozen=True, slots=True)
class Ways:
    """The distinct pairs of cords, and which one each server has.

    Attributes:
        cord: [ways, 2] leaf nodes, -1 = none; a single cord is the first.
        of: [S] way of each server.
        part: [S, 2] how much of a server is like each probe of its way; adds up to one.
    """

    cord: IntArray
    of: IntArray
    part: FloatArray


@dataclass(frozen=True, slots=True)
class Entries:
    """Fractions of power through rows, by way: a server takes ``fraction @ part`` of its own.

    Attributes:
        row, way: [entries].
        fraction: [entries, 2] of the way's two probes.
    """

    row: IntArray
    way: IntArray
    fraction: FloatArray

    def some(self, which: np.ndarray) -> "Entries":
        """A selection of the entries, or another order."""
        return Entries(self.row[which], self.way[which], self.fraction[which])

    def moments(self, loads: "WayLoads", rows: int) -> tuple[FloatArray, FloatArray]:
        """[rows, H + R] mean watts beside factor loadings, and [rows] own variance."""
        first, second = self.fraction.T
        linear = [
            tally(self.row, first * one[self.way] + second * other[self.way], rows)
            for one, other in loads.linear
        ]
        square = np.stack([first**2, 2 * first * second, second**2])
        own = (square * loads.variance[:, self.way]).sum(0)
        return np.stack(linear, axis=1), tally(self.row, own, rows)


@dataclass(frozen=True, slots=True)
class WayLoads:
    """What all servers of a way draw together.

    Attributes:
        linear: [H + R, 2, ways] mean watts and factor loadings, by probe.
        variance: [3, ways] own variance of first with first, first with second, second with second.
    """

    linear: FloatArray
    variance: FloatArray


def ways_of(instance: Instance) -> Ways:
    """Group servers by their cords."""
    swap = (instance.server_cord[:, 0] < 0)[:, None]
    cord = np.where(swap, instance.server_cord[:, ::-1], instance.server_cord)
    share = np.where(swap, instance.server_share[:, ::-1], instance.server_share)
    share[share.sum(1) < _NO_SHARE] = 1.0
    share[cord[:, 1] < 0] = (1.0, 0.0)
    nodes = len(instance.node_parent) + 1
    key, of = np.unique((cord[:, 0] + 1) * nodes + cord[:, 1] + 1, return_inverse=True)
    pairs = np.stack([key // nodes - 1, key % nodes - 1], axis=1)
    return Ways(pairs, of, share / share.sum(1, keepdims=True))


def probes(instance: Instance, ways: Ways) -> Instance:
    """The room with two servers a way: 2w entirely on its first cord, 2w + 1 on its second."""
    share = np.tile(np.eye(2), (len(ways.cord), 1))
    return replace(instance, server_cord=np.repeat(ways.cord, 2, axis=0), server_share=share)


def way_loads(instance: Instance, way: IntArray, part: FloatArray, count: int) -> WayLoads:
    """Add the present loads of servers up by way.

    Args:
        instance: the room.
        way: [S] way of each server.
        part: [S, 2] how it takes from its probes.
        count: number of ways.
    """
    loads = server_loads(instance, instance.wl_server)
    first, second = part.T
    values = np.hstack([loads.mean_w, loads.factor_w]).T
    linear = [[tally(way, side * value, count) for side in (first, second)] for value in values]
    weights = (first**2, first * second, second**2)
    variance = [tally(way, weight * loads.variance, count) for weight in weights]
    return WayLoads(np.array(linear), np.array(variance))
