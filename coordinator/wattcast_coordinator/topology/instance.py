"""The planning problem as arrays: one format for the live loop, plan files and the judge."""

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from wattcast_core.errors import ConfigError
from wattcast_core.units import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instance:
    """One planning problem; N nodes, S servers, W workloads, H steps, R factors, K contingencies.

    Invariants: a node's parent has a smaller index; shares of a server are not negative.

    Attributes:
        node_parent: [N] -1 = root (feed).
        node_alt: [N] second source of an ATS, else -1.
        node_kind: [N] 0 feed, 1 panel, 2 rack PDU, 3 phase, 4 ATS.
        ats_source: [N] 0 = fed from the parent, 1 = from alt.
        limit_base_w: [N] limit in the intact state.
        limit_n1_w: [N] limit while a contingency stands.
        price_per_kwh: [N] money a kWh through a node, including carbon; stated at the roots or at
            the feeds, 0 elsewhere.
        ats_cost: [N] cost of a transfer.
        server_cord: [S,2] leaf node, -1 = none; more columns where servers have more cords.
        server_share: as server_cord, share of power a cord while all are live.
        server_idle_w: [S] watts without workload.
        server_eff: [S] watts a watt of workload.
        server_cpu: [S] capacity.
        server_mem: [S] capacity.
        server_rack: [S] rack index.
        wl_server: [W] present server.
        wl_cpu: [W] demand.
        wl_mem: [W] demand.
        wl_crit: [W] criticality 1..5.
        wl_anti: [W] -1, or group whose members sit on distinct servers.
        wl_quorum: [W] -1, or group whose members sit in distinct racks, one in motion at a time.
        wl_movable: [W] whether it may move.
        wl_state_gib: [W] state to copy.
        wl_bw_mibs: [W] copy bandwidth.
        wl_w: [W,H] mean watts.
        wl_sigma_w: [W] own deviation.
        wl_factor_w: [W,R] loading on common factors.
        growth: [H] scales both deviations by step.
        contingency: [K] node that is lost.
        step_s: seconds a step.
        z_base, z_n1: margins in standard deviations.
        double_run: share of its watts that a moving workload draws at the destination.
        lead_s: all must be within limits from here on.
        setup_s: fixed part of a move's duration.
        max_moves, max_ats: churn budget.
        max_parallel, max_parallel_server, max_parallel_rack: moves at a time.
        crit_cost: [6] cost of disturbing a workload of that criticality.
        rack_cooling_w: [racks] heat that can be taken away from each; empty = not known.
    """

    node_parent: IntArray
    node_alt: IntArray
    node_kind: IntArray
    ats_source: IntArray
    limit_base_w: FloatArray
    limit_n1_w: FloatArray
    price_per_kwh: FloatArray
    ats_cost: FloatArray
    server_cord: IntArray
    server_share: FloatArray
    server_idle_w: FloatArray
    server_eff: FloatArray
    server_cpu: FloatArray
    server_mem: FloatArray
    server_rack: IntArray
    wl_server: IntArray
    wl_cpu: FloatArray
    wl_mem: FloatArray
    wl_crit: IntArray
    wl_anti: IntArray
    wl_quorum: IntArray
    wl_movable: BoolArray
    wl_state_gib: FloatArray
    wl_bw_mibs: FloatArray
    wl_w: FloatArray
    wl_sigma_w: FloatArray
    wl_factor_w: FloatArray
    growth: FloatArray
    contingency: IntArray
    step_s: float
    z_base: float
    z_n1: float
    double_run: float
    lead_s: float
    setup_s: float
    max_moves: int
    max_ats: int
    max_parallel: int
    max_parallel_server: int
    max_parallel_rack: int
    crit_cost: FloatArray
    rack_cooling_w: FloatArray = field(default_factory=lambda: np.zeros(0))


def from_arrays(arrays: dict[str, Any], place: str) -> Instance:
    """Build an instance from named arrays (an .npz); further names are ignored.

    Raises:
        ConfigError: an array is missing; the text names the place and the array.
    """
    values: dict[str, Any] = {}
    for one in fields(Instance):
        if one.name in arrays:
            values[one.name] = _cast(np.asarray(arrays[one.name]), one.type)
        elif one.default_factory is MISSING:
            raise ConfigError(
                f"{place}: array '{one.name}' is missing; see Instance for the format"
            )
    return Instance(**values)


def _cast(value: NDArray[Any], kind: Any) -> Any:
    if kind in (float, int):
        return kind(value)
    return value.astype(get_args(get_args(kind)[1])[0])
