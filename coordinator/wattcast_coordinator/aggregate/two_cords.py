"""Servers with more than two cords, as the planner sees them: parts of two cords each.

The planner's format knows two cords. A server with more is laid out as several: the first keeps
its workloads, which stay where they are, with the part of their power that runs through its first
two cords; the others carry the rest as load without a name. Parts deviate together (the factors
see to that) or, for own deviations, are given so much each that no node is told too little.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_OWN = {"wl_cpu": 0.0, "wl_mem": 0.0, "wl_crit": 1, "wl_anti": -1, "wl_quorum": -1,
        "wl_movable": False, "wl_state_gib": 0.0, "wl_bw_mibs": 1.0}  # fmt: skip


def two_cords(instance: Instance) -> Instance:
    """The same problem with two cords a server; servers and workloads keep their indices."""
    if instance.server_cord.shape[1] == 2:
        return instance
    used = instance.server_cord >= 0
    many = np.flatnonzero(used.sum(1) > 2)
    cord, share = _first_two(instance)
    parts = [(int(s), pair) for s in many for pair in _pairs(instance, int(s))]
    first = dict(reversed(parts))
    rest = [(server, pair) for server, pair in parts if pair is not first[server]]
    weight = np.ones(len(cord))
    for server, pair in first.items():
        cord[server], share[server], weight[server] = _part(instance, server, pair)
    count = np.bincount([server for server, _ in parts], minlength=len(cord))
    extra = [_part(instance, server, pair) for server, pair in rest]
    owner = np.array([server for server, _ in rest], dtype=np.int64)
    share_of = np.array([w for _, _, w in extra])
    scaled = _scaled(instance, weight, np.sqrt(np.maximum(count, 1)), many)
    return _appended(scaled, instance, (cord, share), extra, (owner, share_of, count))


def _first_two(instance: Instance) -> tuple[IntArray, FloatArray]:
    order = np.argsort(instance.server_cord < 0, axis=1, kind="stable")[:, :2]
    return (
        np.take_along_axis(instance.server_cord, order, 1),
        np.take_along_axis(instance.server_share, order, 1),
    )


def _pairs(instance: Instance, server: int) -> list[tuple[int, ...]]:
    """Its cords in twos on different feeds, as far as there are such."""
    cords = np.flatnonzero(instance.server_cord[server] >= 0).tolist()
    roots: dict[int, list[int]] = {}
    for cord in cords:
        node = int(instance.server_cord[server, cord])
        while instance.node_parent[node] >= 0:
            node = int(instance.node_parent[node])
        roots.setdefault(node, []).append(cord)
    out = []
    while any(roots.values()):
        fullest = sorted(roots, key=lambda root: -len(roots[root]))[:2]
        out.append(tuple(roots[root].pop(0) for root in fullest if roots[root]))
    return out


def _part(
    instance: Instance, server: int, pair: tuple[int, ...]
) -> tuple[list[int], list[float], float]:
    """Cords and shares of a part, and its share of the server's power."""
    cords = [int(instance.server_cord[server, c]) for c in pair]
    shares = [float(instance.server_share[server, c]) for c in pair]
    total = sum(shares)
    even = [1 / len(pair)] * len(pair)
    split = [s / total for s in shares] if total > 0 else even
    return [*cords, -1][:2], [*split, 0.0][:2], total


def _scaled(instance: Instance, weight: FloatArray, spread: FloatArray, many: IntArray) -> Instance:
    """Loads of servers with many cords reduced to their first part; nothing moves there."""
    on = weight[instance.wl_server]
    held = np.isin(instance.wl_server, many)
    taken = [
        np.bincount(instance.wl_server, need, len(weight))
        for need in (instance.wl_cpu, instance.wl_mem)
    ]
    full = np.isin(np.arange(len(weight)), many)
    return replace(
        instance,
        server_idle_w=instance.server_idle_w * weight,
        server_cpu=np.where(full, taken[0], instance.server_cpu),
        server_mem=np.where(full, taken[1], instance.server_mem),
        wl_movable=instance.wl_movable & ~held,
        wl_w=instance.wl_w * on[:, None],
        wl_factor_w=instance.wl_factor_w * on[:, None],
        wl_sigma_w=instance.wl_sigma_w * on * spread[instance.wl_server],
    )


def _appended(
    scaled: Instance,
    instance: Instance,
    cords: tuple[IntArray, FloatArray],
    extra: list[tuple[list[int], list[float], float]],
    parts: tuple[IntArray, FloatArray, IntArray],
) -> Instance:
    """The further parts as servers of their own, each with one load."""
    owner, weight, count = parts
    servers = len(cords[0])
    rows = [np.flatnonzero(instance.wl_server == server) for server in owner]
    watts = [instance.wl_w[r].sum(0) * w for r, w in zip(rows, weight, strict=True)]
    loading = [instance.wl_factor_w[r].sum(0) * w for r, w in zip(rows, weight, strict=True)]
    sigma = [
        np.sqrt((instance.wl_sigma_w[r] ** 2).sum() * count[s]) * w
        for r, s, w in zip(rows, owner, weight, strict=True)
    ]
    more = len(owner)
    loads: dict[str, Any] = {
        name: np.append(getattr(scaled, name), np.full(more, value, getattr(scaled, name).dtype))
        for name, value in _OWN.items()
    }
    return replace(
        scaled,
        **loads,
        server_cord=np.vstack([cords[0], *(np.array([c]) for c, _, _ in extra)]),
        server_share=np.vstack([cords[1], *(np.array([s]) for _, s, _ in extra)]),
        server_idle_w=np.append(scaled.server_idle_w, instance.server_idle_w[owner] * weight),
        server_eff=np.append(scaled.server_eff, instance.server_eff[owner]),
        server_cpu=np.append(scaled.server_cpu, np.zeros(more)),
        server_mem=np.append(scaled.server_mem, np.zeros(more)),
        server_rack=np.append(scaled.server_rack, instance.server_rack[owner]),
        wl_server=np.append(scaled.wl_server, servers + np.arange(more)),
        wl_w=np.vstack([scaled.wl_w, *watts]),
        wl_factor_w=np.vstack([scaled.wl_factor_w, *loading]),
        wl_sigma_w=np.append(scaled.wl_sigma_w, sigma),
    )
