"""Find the server a workload moves to."""

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray

_NEAR = 400  # servers looked at first
_FEW = 2  # of each rack at least
_EXACT = 6  # servers tested exactly where the bound on what a workload adds finds none
_AMPLE_W = 300.0  # spare power beyond this makes a destination no better


class Destinations:
    """Servers that workloads may move to: first the roomiest of each rack, then all."""

    def __init__(self, state: State) -> None:
        rack = state.problem.instance.server_rack
        self._all = Pool(np.arange(len(rack)))
        self._pools = [self._all]
        each = max(_FEW, _NEAR // max(len(np.unique(rack)), 1))
        if len(rack) > _NEAR:
            roomy = np.argsort(-self._all.headroom_w(state), kind="stable")
            roomy = roomy[np.argsort(rack[roomy], kind="stable")]
            rank = np.arange(len(rack)) - np.searchsorted(rack[roomy], rack[roomy])
            self._pools = [Pool(np.sort(roomy[rank < each])), self._all]

    def find(self, state: State, workload: int, *, but: int = -1) -> int | None:
        """Cheapest server on which nothing comes to exceed its target; the workload is lifted.

        With ``but``, a server it may not go to, its first server is a destination as well.
        """
        found = (_find(state, workload, pool, but) for pool in self._pools)
        return next((server for server in found if server is not None), None)

    def find_chain(
        self, state: State, workload: int, most_w: float, *, but: int = -1
    ) -> int | None:
        """Server on which the excess left is least, and at most ``most_w``."""
        best: int | None = None
        servers, _ = by_spare(state, workload, self._all, but)
        for server in servers[:_EXACT]:
            left_w = state.excess_with_w(workload, int(server))
            if left_w < most_w:
                best, most_w = int(server), left_w
        return best


class Pool:
    """Some servers and the rows above them."""

    def __init__(self, servers: IntArray) -> None:
        self.servers = servers
        self._fed = np.zeros(0, np.int64)

    def headroom_w(self, state: State) -> FloatArray:
        """[servers] watts that each may draw more before a row above it exceeds its target."""
        fed = state.way[self.servers]
        if not np.array_equal(fed, self._fed):
            self._fed = fed
            start, row, share = state.problem.rows.entries(self.servers, fed)
            used = share > 0
            self._start = np.concatenate([[0], np.cumsum(used)])[start]
            self._row, self._per_watt = row[used], 1 / share[used]
        spare = np.append(state.slack_w[self._row] * self._per_watt, np.inf)
        per_server = np.minimum.reduceat(spare, self._start[:-1])
        per_server[np.diff(self._start) == 0] = np.inf
        return np.asarray(per_server)


def by_spare(state: State, workload: int, pool: Pool, but: int) -> tuple[IntArray, FloatArray]:
    """Those servers that accept a workload, and the watts they surely have to spare then."""
    home = but >= 0 and but != state.problem.instance.wl_server[workload]
    servers = pool.servers
    accepts = state.accepts(workload, servers, home=home) & (servers != but)
    need_w = needed_w(state.problem, workload) * state.problem.instance.server_eff[servers]
    spare_w = pool.headroom_w(state) - need_w
    order = np.flatnonzero(accepts)
    order = order[np.argsort(-spare_w[order], kind="stable")]
    return servers[order], spare_w[order]


def _find(state: State, workload: int, pool: Pool, but: int) -> int | None:
    servers, spare_w = by_spare(state, workload, pool, but)
    fits = int((spare_w >= 0).sum())
    if fits:
        price = energy_cost(state, workload, servers[:fits])
        return int(servers[np.argmin(price - 1e-4 * np.minimum(spare_w[:fits], _AMPLE_W))])
    present_w = state.excess_w() + 1e-9
    for server in servers[:_EXACT]:
        if state.excess_with_w(workload, int(server)) <= present_w:
            return int(server)
    return None


def needed_w(problem: Problem, workload: int) -> float:
    """Watts that a workload adds to any row above a server at most (norms are subadditive)."""
    instance = problem.instance
    z = max(instance.z_base, instance.z_n1)
    peak = instance.wl_w[workload] + z * problem.spread_w[workload] * instance.growth
    return float(peak.max())


def energy_cost(state: State, workload: int, servers: IntArray) -> FloatArray:
    """[servers] money that a workload's energy over the horizon costs on each."""
    problem = state.problem
    price = problem.price(servers, state.way[servers]) * problem.instance.server_eff[servers]
    return np.asarray(problem.energy_kwh[workload] * price)
