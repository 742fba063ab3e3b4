"""Seeded planning problems that are known to have an answer: a good room, then disturbed.

Racks of 40 servers hang on two of the feeds each, through a panel and a rack PDU of three phases a
feed; one server in eight has one cord, behind the ATS of its rack and phase. Limits are a little
above the loads of a good placement; then workloads are crowded into a few racks, so that moving
them back would be one cure.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wattcast_coordinator.plan.network import trace_network
from wattcast_coordinator.plan.verify import Verifier
from wattcast_coordinator.topology.instance import Instance

if TYPE_CHECKING:
    from wattcast_coordinator.topology.instance import IntArray
    from wattcast_core.units import FloatArray

_RACK = 40  # servers
_PER_PANEL = 12  # racks
_PER_SERVER = 3  # workloads
_STEPS = 12
_FACTORS = 4
_APPLICATIONS = 12
FEED, PANEL, PDU, PHASE, ATS = range(5)  # node kinds


@dataclass(frozen=True, slots=True)
class RoomSize:
    """How large and how hard.

    Attributes:
        servers, feeds: of the room; three feeds or more.
        movable: workloads that may move.
        displaced: of them put astray.
        tight: spare share of every feed's limit, panels twice that.
        bw_mibs: bandwidth of each migration.
        lead_s: time until everything must be cured.
    """

    servers: int = 1000
    feeds: int = 8
    movable: int = 1000
    displaced: int = 80
    tight: float = 0.01
    bw_mibs: float = 256.0
    lead_s: float = 1500.0


CLASSES = {
    "easy1k": RoomSize(),
    "tight1k": RoomSize(displaced=120, tight=0.005, bw_mibs=128),
    "few": RoomSize(movable=120, displaced=100, tight=0.005, bw_mibs=128),
    "big": RoomSize(3334, 16, 10_000, 300, 0.005, 128, 3000),
    "room": RoomSize(10_000, 16, 10_000, 300),
}


def make_instance(size: RoomSize, rng: np.random.Generator) -> Instance:
    """A disturbed room; the same generator state gives the same room."""
    values = {**_power(size, rng), **_demand(size, rng), **_RULES}
    values["max_moves"] = int(1.5 * size.displaced) + 4
    values["lead_s"] = size.lead_s
    values["ats_cost"] = np.zeros(len(values["node_kind"]))
    room = _limited(Instance(**values), size.tight, rng)
    return _disturbed(room, size, rng)


_RULES: dict[str, Any] = {
    "step_s": 300.0, "z_base": 2.326, "z_n1": 1.2816, "double_run": 0.5, "setup_s": 20.0,
    "max_ats": 2, "max_parallel": 16, "max_parallel_server": 2, "max_parallel_rack": 6,
    "crit_cost": np.array([0, 1, 2, 4, 8, 16.0]),
}  # fmt: skip


def _power(size: RoomSize, rng: np.random.Generator) -> dict[str, Any]:
    """Nodes from feeds to ATS, and the servers' cords."""
    nodes = _Nodes(size)
    rack, phase = np.arange(size.servers) // _RACK, np.arange(size.servers) % 3
    share = rng.uniform(0.3, 0.7, size.servers)
    share[rng.random(size.servers) < 0.1] = 1.0  # the second cord idles
    share = np.where(rng.random(size.servers) < 0.5, 1 - share, share)
    cord = np.stack([nodes.phase[rack, side, phase] for side in (0, 1)], axis=1)
    single = rng.random(size.servers) < 1 / 8
    cord[single] = np.stack([nodes.ats[rack, phase], np.full(size.servers, -1)], axis=1)[single]
    kind, count = np.array(nodes.kind), len(nodes.kind)
    alt = np.array(nodes.alt)
    return {
        "node_parent": np.array(nodes.parent),
        "node_alt": alt,
        "node_kind": kind,
        "ats_source": (alt >= 0) * rng.integers(0, 2, count),
        "limit_base_w": np.full(count, np.inf),
        "limit_n1_w": np.full(count, np.inf),
        "price_per_kwh": np.where(kind == FEED, 0.12, 0.0),
        "server_cord": cord,
        "server_share": np.where(single[:, None], (1.0, 0.0), np.stack([share, 1 - share], axis=1)),
        "server_idle_w": rng.normal(120, 12, size.servers),
        "server_eff": rng.uniform(0.9, 1.1, size.servers),
        "server_cpu": np.full(size.servers, 64.0),
        "server_mem": np.full(size.servers, 512.0),
        "server_rack": rack,
        "contingency": np.flatnonzero(kind <= PDU),
    }


class _Nodes:
    """The power graph: phases of each rack and side, and an ATS between each pair of phases."""

    def __init__(self, size: RoomSize) -> None:
        self.parent, self.alt, self.kind = ([-1] * size.feeds for _ in range(3))
        self.kind = [FEED] * size.feeds
        racks = -(-size.servers // _RACK)
        self.phase = np.zeros((racks, 2, 3), np.int64)
        self.ats = np.zeros((racks, 3), np.int64)
        panels: dict[int, list[int]] = {}  # of each feed: the last panel and its racks
        for rack in range(racks):
            step = 1 + rack // size.feeds % (size.feeds - 1)
            for side, feed in enumerate((rack % size.feeds, (rack + step) % size.feeds)):
                if feed not in panels or panels[feed][1] == _PER_PANEL:
                    panels[feed] = [self._add(feed, PANEL), 0]
                panels[feed][1] += 1
                pdu = self._add(panels[feed][0], PDU)
                self.phase[rack, side] = [self._add(pdu, PHASE) for _ in range(3)]
            pairs = self.phase[rack].T
            self.ats[rack] = [self._add(int(a), ATS, int(b)) for a, b in pairs]

    def _add(self, parent: int, kind: int, alt: int = -1) -> int:
        self.parent.append(parent)
        self.kind.append(kind)
        self.alt.append(alt)
        return len(self.parent) - 1


def _demand(size: RoomSize, rng: np.random.Generator) -> dict[str, Any]:
    """Workloads, three a server, with what they need and draw."""
    count = size.servers * _PER_SERVER
    mean_w, app = rng.gamma(3, 18, count), rng.integers(0, _APPLICATIONS, count)
    begins = rng.integers(2, 7, (_APPLICATIONS, 1))
    drift = np.clip((np.arange(_STEPS) - begins) / 5, 0, 1)
    drift = 1 + drift * rng.uniform(-0.2, 0.5, (_APPLICATIONS, 1))
    loading = np.abs(rng.normal(0, 0.1, (_APPLICATIONS, _FACTORS))) / np.sqrt(_FACTORS)
    place = np.arange(count) % size.servers  # members of a group are far apart
    third = np.arange(count // 8) + size.servers // 3 * np.arange(3)[:, None]
    quorum = np.full(count, -1)
    quorum[third % count] = np.arange(count // 8)
    return {
        "wl_server": place,
        "wl_cpu": rng.uniform(4, 20, count),
        "wl_mem": rng.uniform(16, 160, count),
        "wl_crit": rng.choice(np.arange(1, 6), count, p=[0.25, 0.3, 0.25, 0.15, 0.05]),
        "wl_anti": np.where(rng.random(count) < 0.3, np.arange(count) // 4, -1),
        "wl_quorum": quorum,
        "wl_movable": np.zeros(count, bool),
        "wl_state_gib": np.minimum(rng.lognormal(2.3, 0.8, count), 96),
        "wl_bw_mibs": np.full(count, float(size.bw_mibs)),
        "wl_w": mean_w[:, None] * drift[app],
        "wl_sigma_w": 0.12 * mean_w,
        "wl_factor_w": mean_w[:, None] * loading[app],
        "growth": np.sqrt(np.arange(1, _STEPS + 1) / _STEPS),
    }


def _limited(instance: Instance, tight: float, rng: np.random.Generator) -> Instance:
    """Limits a little above the good placement's loads; equipment of a kind shares one rating."""
    kind = instance.node_kind
    verifier = Verifier(instance, trace_network(instance))
    peak_w = np.zeros((2, len(kind)))  # intact, and after any loss
    for row, among in enumerate((verifier.case == 0, verifier.case >= 0)):
        np.maximum.at(peak_w[row], verifier.node[among], verifier.nothing_w[among].max(1))
    spare = 1 + tight * rng.uniform(0.5, 2, len(kind)) * np.where(kind == PANEL, 2, 1)
    rated_w = np.array([peak_w[:, kind == k].max(1) for k in range(ATS + 1)]).T[:, kind]
    limit_w = np.where(kind <= PANEL, peak_w * spare, rated_w * [[1.0], [1.03]])
    return replace(
        instance, limit_base_w=np.maximum(limit_w[0], 0.8 * limit_w[1]), limit_n1_w=limit_w[1]
    )


def _disturbed(room: Instance, size: RoomSize, rng: np.random.Generator) -> Instance:
    """Crowd workloads into a few racks, and let some of the others move as well."""
    hot = rng.choice(room.server_rack.max() + 1, max(1, size.displaced // 15), replace=False)
    crowd = _Crowd(room, np.flatnonzero(np.isin(room.server_rack, hot)))
    large = np.flatnonzero(~np.isin(room.server_rack[room.wl_server], hot) & (room.wl_w[:, 0] > 45))
    for workload in rng.permutation(large):
        if len(crowd.moved) == size.displaced:
            break
        crowd.take(int(workload), rng)
    movable = room.wl_movable.copy()
    movable[crowd.moved] = True
    rest = np.flatnonzero(~movable)
    weight = np.where(np.isin(room.server_rack[crowd.placed[rest]], hot), 8.0, 1.0)
    count = min(max(size.movable - len(crowd.moved), 0), len(rest))
    movable[rng.choice(rest, count, replace=False, p=weight / weight.sum())] = True
    moved = replace(room, wl_server=crowd.placed, wl_movable=movable)
    return replace(moved, ats_cost=_ats_cost(moved))


class _Crowd:
    """Moves workloads to the servers of some racks as far as these hold them."""

    def __init__(self, room: Instance, servers: "IntArray") -> None:
        self._room, self._servers = room, servers
        self.placed = room.wl_server.copy()
        self.moved: list[int] = []
        count = len(room.server_cord)
        self._used = [np.bincount(self.placed, d, count) for d in (room.wl_cpu, room.wl_mem)]

    def take(self, workload: int, rng: np.random.Generator) -> None:
        """Move a workload to a random one of the servers that hold it, if any does."""
        room, servers = self._room, self._servers
        needs = room.wl_cpu[workload], room.wl_mem[workload]
        fits = self._used[0][servers] + needs[0] <= room.server_cpu[servers] - 4
        fits &= self._used[1][servers] + needs[1] <= room.server_mem[servers] - 32
        fits &= ~np.isin(servers, self._places(room.wl_anti, workload))
        racks = room.server_rack[self._places(room.wl_quorum, workload)]
        fits &= ~np.isin(room.server_rack[servers], racks)
        if not fits.any():
            return
        server = int(rng.choice(servers[fits]))
        for used, need in zip(self._used, needs, strict=True):
            used[self.placed[workload]] -= need
            used[server] += need
        self.placed[workload] = server
        self.moved.append(workload)

    def _places(self, group: "IntArray", workload: int) -> "IntArray":
        """Servers of a workload's group."""
        if group[workload] < 0:
            return self.placed[:0]
        return np.asarray(self.placed[group == group[workload]])


def _ats_cost(room: Instance) -> "FloatArray":
    """2, and 1 % of an outage (weight 100) of what hangs behind the ATS."""
    behind = room.server_cord[room.wl_server, 0]
    cost = np.bincount(behind, room.crit_cost[room.wl_crit], len(room.node_alt))
    return np.where(room.node_alt >= 0, 2 + cost, 0.0)
