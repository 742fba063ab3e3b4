"""Quantile loads of every node, intact and after every single loss, from workloads' forecasts.

The load of a node is ``mean + z * sqrt(sum_r (sum_s a B_sr)^2 + sum_s a^2 D_s)`` with ``a`` the
share of a server's power through that node, ``B`` its loading on common factors and ``D`` its own
variance: common factors add up, own deviations add up in squares.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.routes import Routes, tally, trace
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class ServerLoads:
    """Power of servers under a placement.

    Attributes:
        mean_w: [S, H] expected power.
        factor_w: [S, R] loading on the common factors.
        variance: [S] own variance, W squared.
    """

    mean_w: FloatArray
    factor_w: FloatArray
    variance: FloatArray


def server_loads(instance: Instance, wl_server: IntArray) -> ServerLoads:
    """Add workloads up on the servers they are placed on."""
    eff = instance.server_eff[wl_server]
    count = len(instance.server_cord)
    return ServerLoads(
        instance.server_idle_w[:, None] + _scatter(wl_server, eff[:, None] * instance.wl_w, count),
        _scatter(wl_server, eff[:, None] * instance.wl_factor_w, count),
        tally(wl_server, (eff * instance.wl_sigma_w) ** 2, count),
    )


class Loads:
    """Loads of all nodes in all cases (case 0 intact, case 1 + j after the j-th contingency)."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._routes: dict[bytes, Routes] = {}

    def evaluate(
        self, wl_server: IntArray | None = None, ats_source: IntArray | None = None
    ) -> FloatArray:
        """[1+K, N, H] watts at the planning quantile (z_base intact, z_n1 after a loss).

        Args:
            wl_server: [W] placement; the present one if None.
            ats_source: [N] ATS positions; the present ones if None.
        """
        mean_w, sigma_w = self.moments(wl_server, ats_source)
        z = np.full(len(mean_w), self._instance.z_n1)
        z[0] = self._instance.z_base
        return mean_w + z[:, None, None] * sigma_w

    def moments(
        self, wl_server: IntArray | None = None, ats_source: IntArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the loads, [1+K, N, H] watts each; arguments as above."""
        instance = self._instance
        loads = server_loads(instance, instance.wl_server if wl_server is None else wl_server)
        routes = self._trace(instance.ats_source if ats_source is None else ats_source)
        linear = self._spread(routes, np.hstack([loads.mean_w, loads.factor_w]), power=1)
        variance = self._spread(routes, loads.variance[:, None], power=2)[..., 0]
        steps = loads.mean_w.shape[1]
        variance += (linear[..., steps:] ** 2).sum(2)
        sigma_w = np.sqrt(np.maximum(variance, 0))[..., None] * instance.growth
        return linear[..., :steps], sigma_w

    def limits(self) -> FloatArray:
        """[1+K, N] watts: the continuous limit intact, the emergency limit after a loss."""
        limit_w = np.tile(self._instance.limit_n1_w, (1 + len(self._instance.contingency), 1))
        limit_w[0] = self._instance.limit_base_w
        return limit_w

    def _trace(self, ats_source: IntArray) -> Routes:
        key = ats_source.tobytes()
        if key not in self._routes:
            self._routes = {key: trace(self._instance, ats_source)}
        return self._routes[key]

    def _spread(self, routes: Routes, values: FloatArray, *, power: int) -> FloatArray:
        """[1+K, N, columns]: server values through the routes, fractions to the given power."""
        cases, nodes = 1 + len(self._instance.contingency), len(self._instance.node_parent)
        share = routes.fraction**power
        intact = _scatter(routes.node, share[:, None] * values[routes.server], nodes)
        change = routes.lost_fraction**power - routes.lost_before**power
        moved = change[:, None] * values[routes.lost_server]
        out = _scatter(routes.lost_row, moved, cases * nodes).reshape(cases, nodes, -1)
        return np.asarray(out + intact)


def _scatter(index: IntArray, values: FloatArray, count: int) -> FloatArray:
    """[count, columns]: rows of ``values`` added up by index."""
    out = np.zeros((count, values.shape[1]))
    for column in range(values.shape[1]):
        out[:, column] = tally(index, values[:, column], count)
    return out
