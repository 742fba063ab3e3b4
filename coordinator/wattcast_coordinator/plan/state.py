"""Loads and capacities under a placement, changed action by action."""

from copy import copy

import numpy as np

from wattcast_coordinator.plan.groups import Groups
from wattcast_coordinator.plan.heat import rack_heat_w
from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.rows import quantile
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_ARRAYS = (
    "placed",
    "way",
    "flipped",
    "free_cpu",
    "free_mem",
    "cooling_w",
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
        way: [S] way that feeds each server now.
        flipped: [transferable ATS] whether it stands on its other source.
        free_cpu, free_mem: [S] capacity left.
        cooling_w: [racks, H] heat that can still be taken away; empty where that is not known.
        linear: [rows, H + R] mean watts beside factor loadings; variance: [rows] own variance.
        load_w: [rows, H] quantile loads.
        slack_w: [rows] watts left below the final state's target; negative is excess.
        server_linear, server_variance: the same for servers.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        instance = problem.instance
        self.placed = instance.wl_server.copy()
        self.way = problem.rows.way.copy()
        self.flipped = np.zeros(len(problem.rows.ats), bool)
        count = len(instance.server_cord)
        self.free_cpu = instance.server_cpu - np.bincount(self.placed, instance.wl_cpu, count)
        self.free_mem = instance.server_mem - np.bincount(self.placed, instance.wl_mem, count)
        self.cooling_w = instance.rack_cooling_w[:, None] - rack_heat_w(
            instance, problem.drawn.mean_w
        )
        self.linear, self.variance = problem.present[0].copy(), problem.present[1].copy()
        self.server_linear = np.hstack([problem.drawn.mean_w, problem.drawn.factor_w])
        self.server_variance = problem.drawn.variance.copy()
        self.load_w = quantile(self.linear, self.variance, problem.rows.z, instance.growth)
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
        price = problem.price(np.arange(len(self.way)), self.way)
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
        row, share = problem.rows.column(server, int(self.way[server]))
        share = share * problem.instance.server_eff[server]
        linear = self.linear[row] + share[:, None] * problem.linear[workload]
        variance = self.variance[row] + (share * problem.instance.wl_sigma_w[workload]) ** 2
        slack_w = (
            problem.target_w[row]
            - quantile(linear, variance, problem.rows.z[row], problem.instance.growth)
        ).min(1)
        change = np.minimum(slack_w, 0).sum() - np.minimum(self.slack_w[row], 0).sum()
        return self.excess_w() - float(change)

    def flip(self, index: int) -> None:
        """Transfer the ATS ``rows.ats[index]`` to the source it is not on."""
        rows = self.problem.rows
        for server in rows.ats_servers[index]:
            new = rows.way[server] if self.flipped[index] else rows.other[server]
            vector, own = self.server_linear[server], float(self.server_variance[server])
            self._spread(server, -vector, -own)
            self.way[server] = new
            self._spread(server, vector, own)
        self.flipped[index] = ~self.flipped[index]

    def accepts(self, workload: int, servers: IntArray, *, home: bool = False) -> BoolArray:
        """[servers] whether each has the capacity for a workload and none of its group's members.

        Its own first server counts only if ``home``: a workload moves at most once.
        """
        instance = self.problem.instance
        fits = self.free_cpu[servers] >= instance.wl_cpu[workload] - 1e-9
        fits &= self.free_mem[servers] >= instance.wl_mem[workload] - 1e-9
        if len(self.cooling_w):
            heat_w = instance.server_eff[servers, None] * instance.wl_w[workload]
            cool = (self.cooling_w[instance.server_rack[servers]] >= heat_w - 1e-6).all(1)
            fits &= cool | (servers == instance.wl_server[workload])
        if not home:
            fits &= servers != instance.wl_server[workload]
        for server in self._others(self.problem.anti, int(instance.wl_anti[workload]), workload):
            fits &= servers != server
        for server in self._others(
            self.problem.quorum, int(instance.wl_quorum[workload]), workload
        ):
            fits &= instance.server_rack[servers] != instance.server_rack[server]
        return np.asarray(fits)

    def _others(self, groups: Groups, group: int, workload: int) -> IntArray:
        """Servers of the other members of a workload's group."""
        members = groups.members(group)
        return np.asarray(self.placed[members[members != workload]])

    def _add(self, workload: int, server: int, sign: float) -> None:
        instance = self.problem.instance
        eff = float(instance.server_eff[server])
        vector = sign * eff * self.problem.linear[workload]
        own = sign * float(eff * instance.wl_sigma_w[workload]) ** 2
        self.server_linear[server] += vector
        self.server_variance[server] += own
        self._spread(server, vector, own)
        self.free_cpu[server] -= sign * instance.wl_cpu[workload]
        self.free_mem[server] -= sign * instance.wl_mem[workload]
        if len(self.cooling_w):
            self.cooling_w[instance.server_rack[server]] -= vector[: len(instance.growth)]

    def _spread(self, server: int, vector: FloatArray, own: float) -> None:
        row, share = self.problem.rows.column(server, int(self.way[server]))
        linear = self.linear[row] + share[:, None] * vector
        variance = self.variance[row] + share**2 * own
        load_w = quantile(linear, variance, self.problem.rows.z[row], self.problem.instance.growth)
        self.linear[row], self.variance[row], self.load_w[row] = linear, variance, load_w
        self.slack_w[row] = (self.problem.target_w[row] - load_w).min(1)
