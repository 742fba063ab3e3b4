"""Refuse instances that cannot be trusted: a NaN compares as within limits."""

from dataclasses import fields

import numpy as np

from wattcast_coordinator.topology.instance import Instance
from wattcast_core.errors import DataError

_INFINITE = {"limit_base_w", "limit_n1_w", "ats_cost", "rack_cooling_w"}  # no limit; never
_LENGTHS = {"node": "node_parent", "limit": "node_parent", "server": "server_cord", "wl": "wl_w"}


def check_instance(instance: Instance) -> None:
    """Check numbers, lengths and indices.

    Raises:
        DataError: naming the array and what is wrong with it.
    """
    for field in fields(Instance):
        _check_numbers(field.name, np.asarray(getattr(instance, field.name)))
        _check_length(instance, field.name)
    nodes, servers = len(instance.node_parent), len(instance.server_cord)
    own = np.arange(nodes)
    _within("node_parent", instance.node_parent, -1, own - 1)
    _within("node_alt", instance.node_alt, -1, own - 1)
    _within("ats_source", instance.ats_source, 0, 1)
    _within("server_cord", instance.server_cord, -1, nodes - 1)
    _within("contingency", instance.contingency, 0, nodes - 1)
    _within("server_rack", instance.server_rack, 0, np.inf)
    _within("wl_server", instance.wl_server, 0, servers - 1)
    _within("wl_crit", instance.wl_crit, 0, len(instance.crit_cost) - 1)
    _within("server_share", instance.server_share, 0, np.inf)
    _within("server_eff", instance.server_eff, 0, np.inf)
    _within("wl_bw_mibs", instance.wl_bw_mibs, np.finfo(float).tiny, np.inf)
    for name in ("wl_state_gib", "growth", "setup_s"):
        _within(name, np.asarray(getattr(instance, name)), 0, np.inf)
    _within("step_s", np.asarray(instance.step_s), np.finfo(float).tiny, np.inf)
    racks = len(instance.rack_cooling_w)
    if racks and racks <= instance.server_rack.max(initial=-1):
        raise DataError(f"rack_cooling_w has {racks} entries, but server_rack names more racks")
    if instance.wl_w.shape[1:] != instance.growth.shape:
        raise DataError(f"wl_w has {instance.wl_w.shape[1:]} steps, growth {instance.growth.shape}")


def _check_numbers(name: str, value: np.ndarray) -> None:
    bad = np.isnan(value) if name in _INFINITE else ~np.isfinite(value)
    if bad.any():
        raise DataError(f"{name}: {int(bad.sum())} values are not finite numbers")


def _check_length(instance: Instance, name: str) -> None:
    """Arrays of nodes, servers and workloads are as long as there are of them."""
    of_nodes = name in {"ats_source", "ats_cost"}
    like = "node_parent" if of_nodes else _LENGTHS.get(name.partition("_")[0])
    value = np.asarray(getattr(instance, name))
    if like is None or name == "price_per_kwh" or not value.ndim:
        return
    expected = len(getattr(instance, like))
    if len(value) != expected:
        raise DataError(f"{name} has {len(value)} entries, but {like} has {expected}")


def _within(name: str, value: np.ndarray, low: float, high: float | np.ndarray) -> None:
    outside = (value < low) | (value > high)
    if outside.any():
        at = int(np.flatnonzero(outside.ravel())[0])
        raise DataError(f"{name}: entry {at} is {value.ravel()[at]}, outside what it may be")
