"""What every search over one instance shares: constraints, prices, durations, targets."""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import ServerLoads, server_loads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.plan.check import check_instance
from wattcast_coordinator.plan.compile import compile_rows
from wattcast_coordinator.plan.groups import Groups
from wattcast_coordinator.plan.network import Network, trace_network
from wattcast_coordinator.plan.rows import Rows, moments, quantile
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray

ROUNDING_W = 1e-4  # a load within this of its limit is at its limit: sums of floats differ


@dataclass(frozen=True, slots=True)
class Problem:
    """An instance with everything that does not change while plans are searched.

    Attributes:
        network: the room traced in all cases, nothing left out.
        rows: the constraints that can bind.
        soft_w: [rows, H] what intermediate states must keep: the limit, or doing nothing if worse.
        target_w: [rows, H] what the final state must keep: ``soft_w`` before lead_s, then limits.
        fixed: rows over their limit that all actions together cannot bring within it; they are
            only kept from getting worse.
        conserved: those of them that take the same share of every server, however it is fed.
        first_strict: first step that must be within limits.
        deadline_s: when the last action must be done.
        duration_s: [W] of a move.
        move_cost: [W] disruption of a move.
        way_price: [ways, 2] money a kWh drawn through each cord (its shares of the feeds).
        energy_cost: of the horizon if nothing is done, money.
        energy_kwh: [W] of a workload over the horizon, on a server of efficiency 1.
        linear: [W, H + R] mean watts beside factor loadings of each workload.
        spread_w: [W] norm of a workload's deviations.
        drawn: present loads of the servers.
        present: moments of the rows at present.
        anti, quorum: groups of workloads.
    """

    instance: Instance
    network: Network
    rows: Rows
    soft_w: FloatArray
    target_w: FloatArray
    fixed: IntArray
    conserved: IntArray
    first_strict: int
    deadline_s: float
    duration_s: FloatArray
    move_cost: FloatArray
    way_price: FloatArray
    energy_cost: float
    energy_kwh: FloatArray
    linear: FloatArray
    spread_w: FloatArray
    drawn: ServerLoads
    present: tuple[FloatArray, FloatArray]
    anti: Groups
    quorum: Groups

    def price(self, server: IntArray, way: IntArray) -> FloatArray:
        """[servers] money a kWh drawn by servers on the given ways."""
        return np.asarray((self.way_price[way] * self.rows.part[server]).sum(1))


def prepare(instance: Instance) -> Problem:
    """Compile constraints and reference loads of an instance.

    Raises:
        DataError: the instance cannot be trusted.
    """
    check_instance(instance)
    network = trace_network(instance)
    drawn = server_loads(instance, instance.wl_server)
    rows = compile_rows(instance, network, drawn)
    present = moments(rows, drawn)
    nothing_w = quantile(*present, rows.z, instance.growth)
    limit_w = np.broadcast_to(rows.limit_w[:, None], nothing_w.shape) + ROUNDING_W
    soft_w = np.maximum(limit_w, nothing_w + ROUNDING_W)
    horizon = instance.wl_w.shape[1]
    strict = (np.arange(horizon) + 1) * instance.step_s > instance.lead_s
    target_w = np.where(strict, limit_w, soft_w)
    over = np.flatnonzero((nothing_w > target_w).any(1))
    conserved = over[_uniform(rows)[over]]
    fixed = np.union1d(conserved, over[_immovable(instance, rows, over, target_w[over])])
    target_w[fixed] = soft_w[fixed]
    first = horizon - int(strict.sum())
    price = _way_price(instance, network)
    per_kwh = (price[rows.way] * rows.part).sum(1)
    crit_cost = instance.crit_cost[instance.wl_crit]
    return Problem(
        instance,
        network,
        rows,
        soft_w,
        target_w,
        fixed,
        conserved,
        first,
        _deadline_s(instance, nothing_w > target_w, first),
        instance.setup_s + 1024 * instance.wl_state_gib / instance.wl_bw_mibs,
        crit_cost * (1 + instance.wl_state_gib / 64),
        price,
        float(drawn.mean_w.sum(1) @ per_kwh * instance.step_s / 3.6e6),
        instance.wl_w.sum(1) * instance.step_s / 3.6e6,
        np.hstack([instance.wl_w, instance.wl_factor_w]),
        np.sqrt((instance.wl_factor_w**2).sum(1) + instance.wl_sigma_w**2),
        drawn,
        present,
        Groups(instance.wl_anti),
        Groups(instance.wl_quorum),
    )


def _uniform(rows: Rows) -> BoolArray:
    """[rows] whether every server has the same share, however it is fed."""
    start, share = rows.row_start[:-1], np.append(rows.by_row.fraction, [[0.0, 0.0]], axis=0)
    high = np.maximum.reduceat(share, start).max(1)
    low = np.minimum.reduceat(share, start).min(1)
    every = np.diff(rows.row_start) == len(rows.way_start) - 1
    return np.asarray(every & (high - low < 1e-9))


def _immovable(instance: Instance, rows: Rows, over: IntArray, target_w: FloatArray) -> BoolArray:
    """[over] whether pinned load alone exceeds a row's target, whatever the ATS positions.

    Negative factor loadings could hedge pinned load; then nothing is claimed.
    """
    if (instance.wl_factor_w < 0).any() or not len(over):
        return np.zeros(len(over), bool)
    pinned = ~instance.wl_movable
    without = replace(
        instance,
        wl_w=instance.wl_w * pinned[:, None],
        wl_sigma_w=instance.wl_sigma_w * pinned,
        wl_factor_w=instance.wl_factor_w * pinned[:, None],
    )
    linear, variance = moments(rows, server_loads(without, without.wl_server))
    load_w = quantile(linear[over], variance[over], rows.z[over], instance.growth)
    transferable = np.zeros(len(rows.limit_w), bool)
    for way in np.unique(rows.way[rows.other != rows.way]):
        transferable[rows.by_way.row[rows.way_start[way] : rows.way_start[way + 1]]] = True
    return np.asarray((load_w > target_w).any(1) & ~transferable[over])


def _deadline_s(instance: Instance, broken: np.ndarray, first: int) -> float:
    """lead_s, or the start of the step it falls into if that step must be cured already."""
    if first < broken.shape[1] and broken[:, first].any():
        return float(min(instance.lead_s, first * instance.step_s))
    return instance.lead_s


def _way_price(instance: Instance, network: Network) -> FloatArray:
    """[ways, 2] money a kWh through each cord: its shares of the feeds' prices."""
    intact = network.intact
    price = instance.price_per_kwh[intact.row]
    sides = [tally(intact.way, price * side, network.count) for side in intact.fraction.T]
    return np.stack(sides, axis=1)
