"""Seeded planning problems that are known to have an answer: a good room, then disturbed.

Servers hang on two of the feeds each (rack pairs A/B, B/C, ...), one in eight on one cord behind
an ATS. Limits are a little above the loads of a random good placement; then workloads of some
racks' choosing are crowded together, so that moving them back would be one cure.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.topology.instance import Instance

if TYPE_CHECKING:
    from wattcast_coordinator.topology.instance import IntArray
    from wattcast_core.units import FloatArray

_RACK = 24  # servers
_PER_SERVER = 3  # workloads
_STEPS = 12
_FACTORS = 4
_FEED, _PDU, _ATS = 0, 2, 4  # node kinds


@dataclass(frozen=True, slots=True)
class RoomSize:
    """How large and how hard: ``tight`` is the spare share of every limit."""

    servers: int
    feeds: int
    displaced: int
    tight: float


def make_instance(size: RoomSize, rng: np.random.Generator) -> Instance:
    """A disturbed room; the same generator state gives the same room."""
    instance = _good_room(size, rng)
    instance = _limited(instance, size.tight, rng)
    return _disturbed(instance, size.displaced, rng)


def _good_room(size: RoomSize, rng: np.random.Generator) -> Instance:
    count = size.servers * _PER_SERVER
    mean_w = rng.gamma(3, 18, count)
    app = rng.integers(0, 12, count)
    drift = np.clip((np.arange(_STEPS) - rng.integers(2, 7, (12, 1))) / 5, 0, 1)
    drift = 1 + drift * rng.uniform(-0.2, 0.5, (12, 1))
    loading = np.abs(rng.normal(0, 0.1, (12, _FACTORS))) / np.sqrt(_FACTORS)
    servers = np.arange(count) % size.servers
    values: dict[str, Any] = {
        **_power(size, rng),
        "server_cpu": np.full(size.servers, 64.0),
        "server_mem": np.full(size.servers, 512.0),
        "wl_server": servers,
        "wl_cpu": rng.uniform(4, 14, count),
        "wl_mem": rng.uniform(16, 120, count),
        "wl_crit": rng.choice(np.arange(1, 6), count, p=[0.25, 0.3, 0.25, 0.15, 0.05]),
        "wl_anti": np.where(rng.random(count) < 0.2, np.arange(count) // 4, -1),
        "wl_quorum": np.full(count, -1),
        "wl_movable": rng.random(count) < 0.6,
        "wl_state_gib": np.minimum(rng.lognormal(2.3, 0.8, count), 96),
        "wl_bw_mibs": np.full(count, 256.0),
        "wl_w": mean_w[:, None] * drift[app],
        "wl_sigma_w": 0.12 * mean_w,
        "wl_factor_w": mean_w[:, None] * loading[app],
        "growth": np.sqrt(np.arange(1, _STEPS + 1) / _STEPS),
        **_RULES,
        "max_moves": int(1.5 * size.displaced) + 4,
    }
    values["ats_cost"] = _ats_cost(values)
    return Instance(**values)


_RULES: dict[str, Any] = {
    "step_s": 300.0, "z_base": 2.326, "z_n1": 1.2816, "double_run": 0.5, "lead_s": 1500.0,
    "setup_s": 20.0, "max_ats": 2, "max_parallel": 16, "max_parallel_server": 2,
    "max_parallel_rack": 6, "crit_cost": np.array([0, 1, 2, 4, 8, 16.0]),
}  # fmt: skip


def _power(size: RoomSize, rng: np.random.Generator) -> dict[str, Any]:
    """Feeds, two rack PDUs and an ATS a rack, and the servers' cords."""
    racks = -(-size.servers // _RACK)
    rack = np.arange(racks)
    feed = np.stack(
        [rack % size.feeds, (rack + 1 + rack // size.feeds % (size.feeds - 1)) % size.feeds]
    )
    pdu = size.feeds + np.stack([3 * rack, 3 * rack + 1])
    none = np.full(size.feeds, -1)
    parent = np.stack([feed[0], feed[1], pdu[0]], axis=1).ravel()
    alt = np.stack([rack * 0 - 1, rack * 0 - 1, pdu[1]], axis=1).ravel()
    node_alt = np.concatenate([none, alt])
    server_rack = np.arange(size.servers) // _RACK
    share = rng.uniform(0.3, 0.7, size.servers)
    cord, shares = pdu[:, server_rack].T.copy(), np.stack([share, 1 - share], axis=1)
    single = rng.random(size.servers) < 1 / 8
    cord[single] = np.stack([pdu[1, server_rack] + 1, server_rack * 0 - 1], axis=1)[single]
    shares[single] = (1, 0)
    kind = np.concatenate([none * 0 + _FEED, np.tile([_PDU, _PDU, _ATS], racks)])
    nodes = len(kind)
    return {
        "node_parent": np.concatenate([none, parent]),
        "node_alt": node_alt,
        "node_kind": kind,
        "ats_source": (node_alt >= 0) * rng.integers(0, 2, nodes),
        "limit_base_w": np.full(nodes, np.inf),
        "limit_n1_w": np.full(nodes, np.inf),
        "price_per_kwh": np.where(kind == _FEED, 0.12, 0.0),
        "server_cord": cord,
        "server_share": shares,
        "server_idle_w": rng.normal(120, 12, size.servers),
        "server_eff": rng.uniform(0.9, 1.1, size.servers),
        "server_rack": server_rack,
        "contingency": np.flatnonzero(kind != _ATS),
    }


def _ats_cost(values: dict[str, Any]) -> "FloatArray":
    """2, and 1 % of an outage (weight 100) of what hangs behind the ATS."""
    behind = values["server_cord"][values["wl_server"], 0]
    cost = np.bincount(behind, values["crit_cost"][values["wl_crit"]], len(values["node_alt"]))
    return np.where(values["node_alt"] >= 0, 2 + cost, 0.0)


def _limited(instance: Instance, tight: float, rng: np.random.Generator) -> Instance:
    """Limits a little above the good placement's loads; rack PDUs share one rating."""
    peak_w = Loads(instance).evaluate().max(2)
    base_w, n1_w = peak_w[0], peak_w.max(0)
    spare = 1 + tight * rng.uniform(0.5, 2, len(base_w))
    feeds = instance.node_kind == _FEED
    base_w = np.where(feeds, base_w * spare, base_w[~feeds].max())
    n1_w = np.where(feeds, n1_w * spare, n1_w[~feeds].max() * 1.03)
    return replace(instance, limit_base_w=np.maximum(base_w, 0.8 * n1_w), limit_n1_w=n1_w)


def _disturbed(instance: Instance, displaced: int, rng: np.random.Generator) -> Instance:
    """Crowd movable workloads into a few racks as far as they hold them."""
    placed = instance.wl_server.copy()
    racks = instance.server_rack.max() + 1
    hot = rng.choice(racks, max(1, displaced // 15), replace=False)
    room = np.flatnonzero(np.isin(instance.server_rack, hot))
    movable = instance.wl_movable & (instance.wl_anti < 0)
    outside = np.flatnonzero(movable & ~np.isin(instance.server_rack[placed], hot))
    for workload in rng.permutation(outside)[:displaced]:
        server = int(rng.choice(room))
        if _fits(instance, placed, int(workload), server):
            placed[workload] = server
    return replace(instance, wl_server=placed)


def _fits(instance: Instance, placed: "IntArray", workload: int, server: int) -> bool:
    there = np.append(np.flatnonzero(placed == server), workload)
    return bool(
        instance.wl_cpu[there].sum() <= instance.server_cpu[server]
        and instance.wl_mem[there].sum() <= instance.server_mem[server]
    )
