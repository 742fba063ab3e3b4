"""Moves that pay: a workload on cheaper feeds, while every limit is kept with and without a loss.

Never a transfer of a switch, never a step that makes a node's load exceed what it may have, or what
it had anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.aggregate.routes import trace
from wattcast_coordinator.topology.graph import FEED
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray

_TOLERANCE_W = 1e-3
_THERE_AND_BACK = 2.0  # a move must pay for its way back, too: prices turn
_CANDIDATES = 8  # destinations checked exactly for each of as many workloads


@dataclass(frozen=True, slots=True)
class Saving:
    """A move that pays.

    Attributes:
        saved: money over the known hours, before the disruption is paid.
        disruption: money that moving is worth avoiding.
    """

    workload: int
    server: int
    saved: float
    disruption: float


def worthwhile(
    instance: Instance,
    cost_per_kwh: FloatArray,
    hour_s: float,
    disruption_money: float,
    entry_per_kw: FloatArray | None = None,
) -> Saving | None:
    """The move that gains most, or None if none pays.

    Args:
        instance: the room as it is; its limits are what must be kept.
        cost_per_kwh: [N, K] money at the feeds in the coming hours (0 elsewhere).
        hour_s: seconds a column of it lasts.
        disruption_money: money that a move of cost 1 is worth avoiding.
        entry_per_kw: [N] at the feeds, what a kW placed there anew adds to a demand charge; it is
            never refunded where a workload leaves, or chasing it would never end.
    """
    saved = _savings(instance, cost_per_kwh, hour_s)
    if entry_per_kw is not None:
        saved = saved - _entry(instance, entry_per_kw)
    disruption = disruption_money * _disruption(instance)
    loads = Loads(instance)
    now_w = loads.evaluate()
    most_w = np.maximum(loads.limits()[..., None], now_w)
    possible = _possible(instance) & _may_fit(instance, (most_w - now_w).min(axis=2))
    gain = np.where(possible, saved - _THERE_AND_BACK * disruption[:, None], -np.inf)
    for workload, server in _candidates(gain):
        if _safe(instance, most_w, workload, server):
            return Saving(
                workload, server, float(saved[workload, server]), float(disruption[workload])
            )
    return None


def _candidates(gain: FloatArray) -> list[tuple[int, int]]:
    """Moves that pay, best first: a few destinations each of the few workloads that gain most."""
    workloads = np.argsort(-gain.max(axis=1))[:_CANDIDATES]
    servers = np.argsort(-gain[workloads], axis=1)[:, :_CANDIDATES]
    pairs = [(w, s) for w, row in zip(workloads.tolist(), servers.tolist(), strict=True)
             for s in row if gain[w, s] > 0]  # fmt: skip
    return sorted(pairs, key=lambda pair: -gain[pair])


def _may_fit(instance: Instance, spare_w: FloatArray) -> np.ndarray:
    """[W, S] False where the copy's mean alone, while a move runs, is more than is to spare.

    Spreads and the end of the move are left to the exact check; this keeps it from being spent on
    feeds that are full.

    Args:
        instance: the room.
        spare_w: [1+K, N] in every case.
    """
    routes = trace(instance, instance.ats_source)
    fraction = np.concatenate([routes.fraction, routes.lost_fraction])
    server = np.concatenate([routes.server, routes.lost_server])
    left_w = np.concatenate([spare_w.min(axis=0)[routes.node], spare_w.ravel()[routes.lost_row]])
    carries = fraction > 0
    most_w = np.full(len(instance.server_cord), np.inf)
    np.minimum.at(most_w, server[carries], left_w[carries] / fraction[carries])
    copied_w = instance.wl_w.min(axis=1) * instance.double_run
    needed_w = np.outer(copied_w, instance.server_eff)
    return np.asarray(needed_w <= most_w + _TOLERANCE_W)


def feed_shares(instance: Instance) -> FloatArray:
    """[S, N] share of a server's power that each feed carries in the intact room."""
    routes = trace(instance, instance.ats_source)
    feed = instance.node_kind[routes.node] == FEED
    out = np.zeros((len(instance.server_cord), len(instance.node_parent)))
    out[routes.server[feed], routes.node[feed]] = routes.fraction[feed]
    return out


def _savings(instance: Instance, cost_per_kwh: FloatArray, hour_s: float) -> FloatArray:
    """[W, S] the most that a move now saves before it has cost more than it saved.

    A move that first loses counts nothing, however much it gains later: it can be made then.
    """
    cost = feed_shares(instance) @ cost_per_kwh * instance.server_eff[:, None]
    kwh = instance.wl_w.mean(axis=1) * hour_s / 3.6e6
    differs, index = np.unique(cost, axis=0, return_inverse=True)
    total = np.cumsum(differs[:, None] - differs[None], axis=2)
    still = np.minimum.accumulate(total, axis=2) >= 0
    between = np.where(still, total, 0.0).max(axis=2)
    place = index.ravel()
    return np.asarray(kwh[:, None] * between[place[instance.wl_server]][:, place])


def _entry(instance: Instance, entry_per_kw: FloatArray) -> FloatArray:
    """[W, S] money for the demand charge that a move raises."""
    entry = feed_shares(instance) @ entry_per_kw * instance.server_eff
    more = np.maximum(entry[None] - entry[instance.wl_server][:, None], 0.0)
    return np.asarray(instance.wl_w.max(axis=1)[:, None] / 1000 * more)


def _disruption(instance: Instance) -> FloatArray:
    """[W] as the planner counts it."""
    return np.asarray(instance.crit_cost[instance.wl_crit] * (1 + instance.wl_state_gib / 64))


def _possible(instance: Instance) -> np.ndarray:
    """[W, S] whether CPU, memory and groups allow a move."""
    servers = len(instance.server_cord)
    at = instance.wl_server
    free_cpu = instance.server_cpu - np.bincount(at, instance.wl_cpu, servers)
    free_mem = instance.server_mem - np.bincount(at, instance.wl_mem, servers)
    fits = (free_cpu >= instance.wl_cpu[:, None]) & (free_mem >= instance.wl_mem[:, None])
    fits &= instance.wl_movable[:, None]
    fits[np.arange(len(at)), at] = False
    for group, place in ((instance.wl_anti, at), (instance.wl_quorum, instance.server_rack[at])):
        where = np.arange(servers) if group is instance.wl_anti else instance.server_rack
        for workload in np.flatnonzero(group >= 0):
            others = (group == group[workload]) & (np.arange(len(at)) != workload)
            fits[workload] &= ~np.isin(where, place[others])
    return np.asarray(fits)


def _safe(instance: Instance, most_w: FloatArray, workload: int, server: int) -> bool:
    """Whether the move keeps every limit in every case, on its way and at its end.

    Args:
        instance: the room as it is.
        most_w: [1+K, N, H] the limits, or what the load is anyway where that is more.
        workload: what moves.
        server: where to.
    """
    during = _with_twin(instance, workload, server)
    placed = instance.wl_server.copy()
    placed[workload] = server
    ahead: Sequence[FloatArray] = (Loads(during).evaluate(), Loads(instance).evaluate(placed))
    return all(bool((load_w <= most_w + _TOLERANCE_W).all()) for load_w in ahead)


def _with_twin(instance: Instance, workload: int, server: int) -> Instance:
    """The room while a workload runs on both servers."""
    twin: dict[str, Any] = {
        name: np.concatenate([getattr(instance, name), getattr(instance, name)[[workload]]])
        for name in (*_COPIED, *_DRAWN, "wl_server")
    }
    twin["wl_server"][-1] = server
    for name in _DRAWN:
        twin[name][-1] = twin[name][-1] * instance.double_run
    return replace(instance, **twin)


_DRAWN = ("wl_w", "wl_sigma_w", "wl_factor_w")
_COPIED = (
    "wl_cpu", "wl_mem", "wl_crit", "wl_anti", "wl_quorum", "wl_movable", "wl_state_gib",
    "wl_bw_mibs",
)  # fmt: skip
