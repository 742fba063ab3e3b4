"""Loads and capacities under a placement, changed action by action."""

from copy import copy

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.rows import row_moments
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_ARRAYS = (
    "placed",
    "column",
    "flipped",
    "free_cpu",
    "free_mem",
    "linear",
    "variance",
    "load_w",
    "slack_w",
    "server_linear",
    "server_variance",
)


class State:
    """Mutable loads of the constraints; every action can be taken back by its opposite.

    Attributes:
        placed: [W] server of each workload.
        column: [S] column that feeds each server now.
        flipped: [transferable ATS] whether it stands on its other source.
        free_cpu, free_mem: [S] capacity left.
        linear: [rows, H + R] mean watts beside factor loadings; variance: [rows] own variance.
        load_w: [rows, H] quantile loads.
        slack_w: [rows] watts left below the final state's target; negative is excess.
        server_linear, server_variance: the same for servers.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        instance = problem.instance
        self.placed = instance.wl_server.copy()
        self.column = np.arange(len(instance.server_cord))
        self.flipped = np.zeros(len(problem.rows.ats), bool)
        count = len(instance.server_cord)
        self.free_cpu = instance.server_cpu - np.bincount(self.placed, instance.wl_cpu, count)
        self.free_mem = instance.server_mem - np.bincount(self.placed, instance.wl_mem, count)
        self.linear, self.variance = row_moments(instance, problem.rows)
        servers = server_loads(instance, self.placed)
        self.server_linear = np.hstack([servers.mean_w, servers.factor_w])
        self.server_variance = servers.variance
        everything = np.arange(len(problem.rows.limit_w))
        self.load_w = quantile(problem, everything, self.linear, self.variance)
        self.slack_w = (problem.target_w - self.load_w).min(1)

    def copy(self) -> "State":
        """An independent state with the same loads."""
        twin = copy(self)
        for name in _ARRAYS:
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def excess_w(self) -> float:
        """Watts over target, each row at its worst step, added up."""
        return float(-np.minimum(self.slack_w, 0).sum())

    def moved(self) -> IntArray:
        """Workloads that are not where they were."""
        return np.flatnonzero(self.placed != self.problem.instance.wl_server)

    def cost(self) -> float:
        """Disruption of moves and transfers and the energy's change over the horizon, money."""
        problem = self.problem
        instance = problem.instance
        transfers = instance.ats_cost[problem.rows.ats[self.flipped]].sum()
        energy_w = self.server_linear[:, : len(instance.growth)].sum(1)
        price = problem.column_price[self.column]
        energy = energy_w @ price * instance.step_s / 3.6e6 - problem.energy_cost
        return float(problem.move_cost[self.moved()].sum() + transfers + energy)

    def move(self, workload: int, server: int) -> None:
        """Put a workload on another server; capacities follow without being checked."""
        self.lift(workload)
        self.put(workload, server)

    def lift(self, workload: int) -> None:
        """Take a workload off its server."""
        self._add(workload, int(self.placed[workload]), -1.0)

    def put(self, workload: int, server: int) -> None:
        """Place a lifted workload."""
        self._add(workload, server, 1.0)
        self.placed[workload] = server

    def excess_with_w(self, workload: int, server: int) -> float:
        """What the excess would be if a lifted workload were put on a server."""
        problem = self.problem
        row, share = problem.rows.column(int(self.column[server]))
        share = share * problem.instance.server_eff[server]
        linear = self.linear[row] + share[:, None] * problem.linear[workload]
        variance = self.variance[row] + (share * problem.instance.wl_sigma_w[workload]) ** 2
        slack_w = (problem.target_w[row] - quantile(problem, row, linear, variance)).min(1)
        change = np.minimum(slack_w, 0).sum() - np.minimum(self.slack_w[row], 0).sum()
        return self.excess_w() - float(change)

    def flip(self, index: int) -> None:
        """Transfer the ATS ``rows.ats[index]`` to the source it is not on."""
        rows = self.problem.rows
        for server in rows.ats_servers[index]:
            new = server if self.column[server] != server else rows.other[server]
            vector, own = self.server_linear[server], float(self.server_variance[server])
            self._spread(int(self.column[server]), -vector, -own)
            self._spread(int(new), vector, own)
            self.column[server] = new
        self.flipped[index] = ~self.flipped[index]

    def accepts(self, workload: int, *, home: bool = False) -> BoolArray:
        """[S] servers with the capacity for a workload and without its group's other members.

        Its own first server counts only if ``home``: a workload moves at most once.
        """
        instance = self.problem.instance
        fits = self.free_cpu >= instance.wl_cpu[workload] - 1e-9
        fits &= self.free_mem >= instance.wl_mem[workload] - 1e-9
        fits[instance.wl_server[workload]] &= home
        anti = int(instance.wl_anti[workload])
        if anti >= 0:
            members = self.problem.anti[anti]
            fits[self.placed[members[members != workload]]] = False
        quorum = int(instance.wl_quorum[workload])
        if quorum >= 0:
            members = self.problem.quorum[quorum]
            racks = instance.server_rack[self.placed[members[members != workload]]]
            fits &= ~np.isin(instance.server_rack, racks)
        return np.asarray(fits)

    def _add(self, workload: int, server: int, sign: float) -> None:
        instance = self.problem.instance
        eff = float(instance.server_eff[server])
        vector = sign * eff * self.problem.linear[workload]
        own = sign * float(eff * instance.wl_sigma_w[workload]) ** 2
        self.server_linear[server] += vector
        self.server_variance[server] += own
        self._spread(int(self.column[server]), vector, own)
        self.free_cpu[server] -= sign * instance.wl_cpu[workload]
        self.free_mem[server] -= sign * instance.wl_mem[workload]

    def _spread(self, column: int, vector: FloatArray, own: float) -> None:
        row, share = self.problem.rows.column(column)
        linear = self.linear[row] + share[:, None] * vector
        variance = self.variance[row] + share**2 * own
        load_w = quantile(self.problem, row, linear, variance)
        self.linear[row], self.variance[row], self.load_w[row] = linear, variance, load_w
        self.slack_w[row] = (self.problem.target_w[row] - load_w).min(1)


def quantile(
    problem: Problem, row: IntArray, linear: FloatArray, variance: FloatArray
) -> FloatArray:
    """[..., rows, H] quantile loads of rows from their moments."""
    growth = problem.instance.growth
    factor = linear[..., len(growth) :]
    spread = np.einsum("...i,...i->...", factor, factor) + variance
    margin = problem.rows.z[row] * np.sqrt(np.maximum(spread, 0))
    return np.asarray(linear[..., : len(growth)] + margin[..., None] * growth)
