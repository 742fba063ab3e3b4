"""Find the server a workload moves to."""

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray

_NEAR = 400  # servers looked at first: those with most headroom
_EXACT = 6  # servers tested exactly where the bound on what a workload adds finds none
_AMPLE_W = 300.0  # spare power beyond this makes a destination no better


class Destinations:
    """The servers with most headroom in a state; all of them where those do not do."""

    def __init__(self, state: State) -> None:
        self._near = np.arange(len(state.way))
        if len(state.way) > _NEAR:
            room_w = headroom_w(state, self._near)
            self._near = np.sort(np.argpartition(-room_w, _NEAR)[:_NEAR])

    def find(self, state: State, workload: int, *, but: int = -1) -> int | None:
        """Cheapest server on which nothing comes to exceed its target; the workload is lifted.

        With ``but``, a server it may not go to, its first server is a destination as well.
        """
        found = _find(state, workload, self._near, but)
        if found is None and len(self._near) < len(state.way):
            found = _find(state, workload, np.arange(len(state.way)), but)
        return found

    def find_chain(
        self, state: State, workload: int, most_w: float, *, but: int = -1
    ) -> int | None:
        """Server on which the excess left is least, and at most ``most_w``."""
        best: int | None = None
        servers, _ = _by_spare(state, workload, np.arange(len(state.way)), but)
        for server in servers[:_EXACT]:
            left_w = state.excess_with_w(workload, int(server))
            if left_w < most_w:
                best, most_w = int(server), left_w
        return best


def _by_spare(
    state: State, workload: int, servers: IntArray, but: int
) -> tuple[IntArray, FloatArray]:
    """Those servers that accept a workload, and the watts they surely have to spare then."""
    home = but >= 0 and but != state.problem.instance.wl_server[workload]
    servers = servers[state.accepts(workload, servers, home=home) & (servers != but)]
    need_w = needed_w(state.problem, workload) * state.problem.instance.server_eff[servers]
    spare_w = headroom_w(state, servers) - need_w
    order = np.argsort(-spare_w, kind="stable")
    return servers[order], spare_w[order]


def _find(state: State, workload: int, servers: IntArray, but: int) -> int | None:
    servers, spare_w = _by_spare(state, workload, servers, but)
    fits = int((spare_w >= 0).sum())
    if fits:
        price = _energy_cost(state, workload, servers[:fits])
        return int(servers[np.argmin(price - 1e-4 * np.minimum(spare_w[:fits], _AMPLE_W))])
    present_w = state.excess_w() + 1e-9
    for server in servers[:_EXACT]:
        if state.excess_with_w(workload, int(server)) <= present_w:
            return int(server)
    return None


def headroom_w(state: State, servers: IntArray) -> FloatArray:
    """[servers] watts that each may draw more before a row above it exceeds its target."""
    start, row, share = state.problem.rows.entries(servers, state.way[servers])
    spare = np.full(len(row) + 1, np.inf)
    np.divide(state.slack_w[row], share, out=spare[:-1], where=share > 0)
    per_server = np.minimum.reduceat(spare, start[:-1])
    per_server[np.diff(start) == 0] = np.inf
    return np.asarray(per_server)


def needed_w(problem: Problem, workload: int) -> float:
    """Watts that a workload adds to any row above a server at most (norms are subadditive)."""
    instance = problem.instance
    z = max(instance.z_base, instance.z_n1)
    peak = instance.wl_w[workload] + z * problem.spread_w[workload] * instance.growth
    return float(peak.max())


def _energy_cost(state: State, workload: int, servers: IntArray) -> FloatArray:
    problem = state.problem
    price = problem.price(servers, state.way[servers]) * problem.instance.server_eff[servers]
    return np.asarray(problem.energy_kwh[workload] * price)
