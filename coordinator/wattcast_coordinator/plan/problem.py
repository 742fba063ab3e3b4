"""What every search over one instance shares: constraints, prices, durations, targets."""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.plan.compile import compile_rows
from wattcast_coordinator.plan.rows import Rows, quantiles
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

ROUNDING_W = 1e-4  # a load within this of its limit is at its limit: sums of floats differ


@dataclass(frozen=True, slots=True)
class Problem:
    """An instance with everything that does not change while plans are searched.

    Attributes:
        rows: the constraints.
        soft_w: [rows, H] what intermediate states must keep: the limit, or doing nothing if worse.
        target_w: [rows, H] what the final state must keep: ``soft_w`` before lead_s, then limits.
        first_strict: first step that must be within limits.
        deadline_s: when the last action must be done.
        duration_s: [W] of a move.
        move_cost: [W] disruption of a move.
        column_price: [columns] money a kWh drawn through each column (its shares of the feeds).
        energy_cost: of the horizon if nothing is done, money.
        energy_kwh: [W] of a workload over the horizon, on a server of efficiency 1.
        linear: [W, H + R] mean watts beside factor loadings of each workload.
        spread_w: [W] norm of a workload's deviations.
        anti, quorum: members of each group.
    """

    instance: Instance
    rows: Rows
    soft_w: FloatArray
    target_w: FloatArray
    first_strict: int
    deadline_s: float
    duration_s: FloatArray
    move_cost: FloatArray
    column_price: FloatArray
    energy_cost: float
    energy_kwh: FloatArray
    linear: FloatArray
    spread_w: FloatArray
    anti: dict[int, IntArray]
    quorum: dict[int, IntArray]


def prepare(instance: Instance) -> Problem:
    """Compile constraints and reference loads of an instance."""
    rows = compile_rows(instance)
    nothing_w = quantiles(instance, rows)
    limit_w = np.broadcast_to(rows.limit_w[:, None], nothing_w.shape) + ROUNDING_W
    soft_w = np.maximum(limit_w, nothing_w + ROUNDING_W)
    horizon = instance.wl_w.shape[1]
    strict = (np.arange(horizon) + 1) * instance.step_s > instance.lead_s
    target_w = np.where(strict, limit_w, soft_w)
    first = horizon - int(strict.sum())
    price = _column_price(instance, rows)
    loads = server_loads(instance, instance.wl_server)
    crit_cost = instance.crit_cost[instance.wl_crit]
    return Problem(
        instance,
        rows,
        soft_w,
        target_w,
        first,
        _deadline_s(instance, nothing_w > target_w, first),
        instance.setup_s + 1024 * instance.wl_state_gib / instance.wl_bw_mibs,
        crit_cost * (1 + instance.wl_state_gib / 64),
        price,
        float(loads.mean_w.sum(1) @ price[: len(loads.mean_w)] * instance.step_s / 3.6e6),
        instance.wl_w.sum(1) * instance.step_s / 3.6e6,
        np.hstack([instance.wl_w, instance.wl_factor_w]),
        np.sqrt((instance.wl_factor_w**2).sum(1) + instance.wl_sigma_w**2),
        _groups(instance.wl_anti),
        _groups(instance.wl_quorum),
    )


def _deadline_s(instance: Instance, broken: np.ndarray, first: int) -> float:
    """lead_s, or the start of the step it falls into if that step must be cured already."""
    if first < broken.shape[1] and broken[:, first].any():
        return float(min(instance.lead_s, first * instance.step_s))
    return instance.lead_s


def _column_price(instance: Instance, rows: Rows) -> FloatArray:
    """Money a kWh through each column: its shares of the feeds' prices."""
    root = (rows.case == 0) & (instance.node_parent[rows.node] < 0)
    price = np.where(root, instance.price_per_kwh[rows.node], 0)
    column = np.repeat(np.arange(len(rows.start) - 1), np.diff(rows.start))
    return np.bincount(column, rows.value * price[rows.row], len(rows.start) - 1)


def _groups(group: IntArray) -> dict[int, IntArray]:
    """Members of each group; -1 means none."""
    return {int(g): np.flatnonzero(group == g) for g in np.unique(group[group >= 0])}
