"""What every search over one instance shares: constraints, prices, durations, targets."""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.plan.check import check_instance
from wattcast_coordinator.plan.compile import compile_rows
from wattcast_coordinator.plan.network import Network, trace_network
from wattcast_coordinator.plan.rows import Rows, quantiles
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
        way_price: [ways, 2] money a kWh drawn through each probe (its shares of the feeds).
        energy_cost: of the horizon if nothing is done, money.
        energy_kwh: [W] of a workload over the horizon, on a server of efficiency 1.
        linear: [W, H + R] mean watts beside factor loadings of each workload.
        spread_w: [W] norm of a workload's deviations.
        anti, quorum: members of each group.
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
    anti: dict[int, IntArray]
    quorum: dict[int, IntArray]

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
    rows = compile_rows(instance, network)
    nothing_w = quantiles(instance, rows)
    limit_w = np.broadcast_to(rows.limit_w[:, None], nothing_w.shape) + ROUNDING_W
    soft_w = np.maximum(limit_w, nothing_w + ROUNDING_W)
    horizon = instance.wl_w.shape[1]
    strict = (np.arange(horizon) + 1) * instance.step_s > instance.lead_s
    target_w = np.where(strict, limit_w, soft_w)
    conserved = np.flatnonzero((nothing_w > target_w).any(1) & _uniform(rows))
    fixed = np.union1d(conserved, np.flatnonzero(_immovable(instance, rows, target_w)))
    target_w[fixed] = soft_w[fixed]
    first = horizon - int(strict.sum())
    price = _way_price(instance, network)
    per_kwh = (price[rows.way] * rows.part).sum(1)
    loads = server_loads(instance, instance.wl_server)
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
        float(loads.mean_w.sum(1) @ per_kwh * instance.step_s / 3.6e6),
        instance.wl_w.sum(1) * instance.step_s / 3.6e6,
        np.hstack([instance.wl_w, instance.wl_factor_w]),
        np.sqrt((instance.wl_factor_w**2).sum(1) + instance.wl_sigma_w**2),
        _groups(instance.wl_anti),
        _groups(instance.wl_quorum),
    )


def _uniform(rows: Rows) -> BoolArray:
    """[rows] whether every server has the same share, however it is fed."""
    start, share = rows.row_start[:-1], np.append(rows.by_row.fraction, [[0.0, 0.0]], axis=0)
    high = np.maximum.reduceat(share, start).max(1)
    low = np.minimum.reduceat(share, start).min(1)
    every = np.diff(rows.row_start) == len(rows.way_start) - 1
    return np.asarray(every & (high - low < 1e-9))


def _immovable(instance: Instance, rows: Rows, target_w: FloatArray) -> BoolArray:
    """[rows] whether pinned load alone exceeds the target, whatever the ATS positions.

    Negative factor loadings could hedge pinned load; then nothing is claimed.
    """
    if (instance.wl_factor_w < 0).any():
        return np.zeros(len(rows.limit_w), bool)
    pinned = ~instance.wl_movable
    without = replace(
        instance,
        wl_w=instance.wl_w * pinned[:, None],
        wl_sigma_w=instance.wl_sigma_w * pinned,
        wl_factor_w=instance.wl_factor_w * pinned[:, None],
    )
    transferable = np.zeros(len(rows.limit_w), bool)
    for way in np.unique(rows.way[rows.other != rows.way]):
        transferable[rows.by_way.row[rows.way_start[way] : rows.way_start[way + 1]]] = True
    over = (quantiles(without, rows) > target_w).any(1)
    return np.asarray(over & ~transferable)


def _deadline_s(instance: Instance, broken: np.ndarray, first: int) -> float:
    """lead_s, or the start of the step it falls into if that step must be cured already."""
    if first < broken.shape[1] and broken[:, first].any():
        return float(min(instance.lead_s, first * instance.step_s))
    return instance.lead_s


def _way_price(instance: Instance, network: Network) -> FloatArray:
    """[ways, 2] money a kWh through each probe: its shares of the feeds' prices."""
    intact = network.intact
    price = instance.price_per_kwh[intact.row]
    sides = [tally(intact.way, price * side, network.count) for side in intact.fraction.T]
    return np.stack(sides, axis=1)


def _groups(group: IntArray) -> dict[int, IntArray]:
    """Members of each group; -1 means none."""
    return {int(g): np.flatnonzero(group == g) for g in np.unique(group[group >= 0])}
