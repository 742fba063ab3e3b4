"""The power graph of a site: feeds, rack PDUs and transfer switches as arrays, and their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wattcast_configs.site import Feed, Pdu, Server, Site, Workload
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

FEED, PDU, ATS = 0, 2, 4  # node kinds, as in Instance


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A site as arrays; N nodes (feeds, then rack PDUs, then ATS), S servers.

    Invariants: a node's parent has a smaller index; names are unique within nodes and servers.

    Attributes:
        nodes, servers, workloads: names by index.
        node, server, workload: index by name.
        parent, alt, kind: [N] as in Instance.
        limit_base_w, limit_n1_w: [N] a transfer switch has one rating for both.
        price_per_kwh: [N] at feeds.
        cord, share: [S,2] as in Instance.
        idle_w, full_w: [S] without workload and at full use.
        eff: [S] watts a watt of workload: dynamic range a CPU over the hosting servers' median.
        cpu, mem: [S] capacity; 0 where nothing can be hosted.
        rack: [S] index of the rack.
        quorum: [number of workloads] index of the group, -1 = none.
        reach: [S,N] whether a server can draw through a node in any state of the switches.
    """

    site: Site
    nodes: tuple[str, ...]
    servers: tuple[str, ...]
    workloads: tuple[str, ...]
    node: Mapping[str, int]
    server: Mapping[str, int]
    workload: Mapping[str, int]
    parent: IntArray
    alt: IntArray
    kind: IntArray
    limit_base_w: FloatArray
    limit_n1_w: FloatArray
    price_per_kwh: FloatArray
    cord: IntArray
    share: FloatArray
    idle_w: FloatArray
    full_w: FloatArray
    eff: FloatArray
    cpu: FloatArray
    mem: FloatArray
    rack: IntArray
    quorum: IntArray
    reach: BoolArray

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of the feeds, by node index."""
        return self.nodes[: len(self.site.feed)]

    def feeds_of(self, server: str) -> frozenset[str]:
        """Feeds that can supply a server."""
        reached = self.reach[self.server[server], : len(self.feeds)]
        return frozenset(name for name, yes in zip(self.feeds, reached, strict=True) if yes)

    def feeds_of_node(self, node: str) -> frozenset[str]:
        """Feeds that can supply a node (a feed supplies itself)."""
        found, waiting = set(), [self.node[node]]
        while waiting:
            at = waiting.pop()
            sources = [int(up[at]) for up in (self.parent, self.alt) if up[at] >= 0]
            waiting += sources
            if not sources:
                found.add(self.nodes[at])
        return frozenset(found)


@lru_cache(maxsize=8)
def build(site: Site) -> Graph:
    """The graph of a site; the same object for an equal site."""
    nodes = (*(f.id for f in site.feed), *(p.id for p in site.pdu), *(a.id for a in site.ats))
    node = {name: index for index, name in enumerate(nodes)}
    parent = _up(node, ["" for _ in site.feed], [p.feed for p in site.pdu],
                 [a.source_a for a in site.ats])  # fmt: skip
    alt = _up(node, ["" for _ in (*site.feed, *site.pdu)], [a.source_b for a in site.ats])
    rated: tuple[Feed | Pdu, ...] = (*site.feed, *site.pdu)
    own = [a.rating_w for a in site.ats]
    racks = sorted({s.rack for s in site.server})
    groups = sorted({w.quorum for w in site.workload if w.quorum})
    cord = np.array([_pair([node[c] for c in s.cords], -1) for s in site.server], dtype=np.int64)
    return Graph(
        site=site,
        nodes=nodes,
        servers=tuple(s.id for s in site.server),
        workloads=tuple(w.id for w in site.workload),
        node=node,
        server={s.id: i for i, s in enumerate(site.server)},
        workload={w.id: i for i, w in enumerate(site.workload)},
        parent=parent,
        alt=alt,
        kind=np.repeat([FEED, PDU, ATS], [len(site.feed), len(site.pdu), len(site.ats)]),
        limit_base_w=np.array([*(n.limit_w for n in rated), *own]),
        limit_n1_w=np.array([*(n.limit_n1_w for n in rated), *own]),
        price_per_kwh=np.array([*(f.price_per_kwh for f in site.feed),
                                *(0.0 for _ in (*site.pdu, *site.ats))]),
        cord=cord,
        share=np.array([_pair(list(s.shares), 0.0) for s in site.server]),
        idle_w=np.array([s.idle_w for s in site.server]),
        full_w=np.array([s.full_w for s in site.server]),
        eff=_efficiency(site.server),
        cpu=np.array([s.cpu if s.engine else 0.0 for s in site.server]),
        mem=np.array([s.mem_gib if s.engine else 0.0 for s in site.server]),
        rack=np.array([racks.index(s.rack) for s in site.server]),
        quorum=np.array([_group(groups, w) for w in site.workload], dtype=np.int64),
        reach=_reach(parent, alt, cord),
    )  # fmt: skip


def _up(node: Mapping[str, int], *parts: list[str]) -> IntArray:
    return np.array([node[name] if name else -1 for part in parts for name in part], dtype=np.int64)


def _pair(values: list[float], empty: float) -> list[float]:
    return [*values, empty][:2]


def _group(groups: list[str], workload: Workload) -> int:
    return groups.index(workload.quorum) if workload.quorum else -1


def _efficiency(servers: tuple[Server, ...]) -> FloatArray:
    """[S] dynamic watts a CPU, relative to the hosting servers' median; 1 where not known."""
    span_w = np.array([(s.full_w - s.idle_w) / max(s.cpu, 1e-9) for s in servers])
    hosts = span_w[[bool(s.engine) and s.full_w > s.idle_w for s in servers]]
    reference_w = float(np.median(hosts)) if len(hosts) else 0.0
    known = (span_w > 0) & (reference_w > 0)
    return np.where(known, span_w / (reference_w or 1.0), 1.0)


def _reach(parent: IntArray, alt: IntArray, cord: IntArray) -> BoolArray:
    above = np.eye(len(parent), dtype=bool)
    for at in range(len(parent)):
        for source in {int(parent[at]), int(alt[at])} - {-1}:
            above[at] |= above[source]
    return np.asarray((above[cord] & (cord >= 0)[:, :, None]).any(1))
