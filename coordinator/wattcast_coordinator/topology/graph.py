"""The power graph of a site as arrays, and the names behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wattcast_configs.site import Server, Site, Workload
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.limits import Limit, limits_of
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

FEED, PANEL, PDU, PHASE, ATS = range(5)  # node kinds, as in Instance
_KINDS = {"feed": FEED, "rack PDU": PDU, "phase": PHASE, "bank": PHASE, "ATS": ATS}


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A site as arrays; N nodes, S servers with up to C cords, F feeds.

    Invariants: the sources of a node have smaller indices; names are unique.

    Attributes:
        nodes, servers, workloads, feeds: names by index.
        node, server, workload: index by name.
        words: [N] kind of each node in words.
        parent, alt, kind: [N] as in Instance; whatever has an ``alt`` is a switch, but only those
            of kind ATS are ever commanded.
        limits: [N] with their sources.
        limit_base_w, limit_n1_w: [N] of them in watts.
        price_per_kwh: [N] at roots.
        supply: [N,F] feeds that can supply a node; of a node upstream, feeds that hang on it.
        cord, share, needed: [S,C], [S,C], [S] as in Network.
        idle_w, full_w: [S] without workload and at full use.
        eff: [S] watts a watt of workload: dynamic range a CPU over the hosting servers' median.
        cpu, mem: [S] capacity; 0 where nothing can be hosted.
        rack: [S] index into ``racks``.
        cooling_w: [racks] heat that can be taken away; infinite = not known.
        quorum: [number of workloads] index of the group, -1 = none.
    """

    site: Site
    nodes: tuple[str, ...]
    servers: tuple[str, ...]
    workloads: tuple[str, ...]
    feeds: tuple[str, ...]
    node: Mapping[str, int]
    server: Mapping[str, int]
    workload: Mapping[str, int]
    words: tuple[str, ...]
    parent: IntArray
    alt: IntArray
    kind: IntArray
    limits: tuple[Limit, ...]
    limit_base_w: FloatArray
    limit_n1_w: FloatArray
    price_per_kwh: FloatArray
    supply: BoolArray
    cord: IntArray
    share: FloatArray
    needed: IntArray
    idle_w: FloatArray
    full_w: FloatArray
    eff: FloatArray
    cpu: FloatArray
    mem: FloatArray
    racks: tuple[str, ...]
    rack: IntArray
    cooling_w: FloatArray
    quorum: IntArray

    def feeds_of(self, server: str) -> frozenset[str]:
        """Feeds that can supply a server."""
        cords = self.cord[self.server[server]]
        return self._named(self.supply[cords[cords >= 0]].any(0))

    def feeds_of_node(self, node: str) -> frozenset[str]:
        """Feeds that can supply a node (a feed supplies itself)."""
        return self._named(self.supply[self.node[node]])

    def _named(self, which: BoolArray) -> frozenset[str]:
        return frozenset(name for name, yes in zip(self.feeds, which, strict=True) if yes)

    def supplied_by(self, feeds: Iterable[str]) -> BoolArray:
        """[S] servers that any of the feeds can supply."""
        wanted = np.isin(self.feeds, list(feeds))
        return self._on(np.asarray(self.supply[:, wanted].any(1)))

    def behind(self, nodes: IntArray) -> BoolArray:
        """[S] servers that can draw through any of the nodes, in some state of the switches."""
        below = np.zeros(len(self.nodes), bool)
        below[nodes] = True
        for node in range(len(below)):
            for source in (self.parent[node], self.alt[node]):
                below[node] |= source >= 0 and below[source]
        return self._on(below)

    def _on(self, nodes: BoolArray) -> BoolArray:
        return np.asarray((nodes[self.cord] & (self.cord >= 0)).any(1))

    def network(self, source: IntArray) -> Network:
        """As a network, with its switches on the given sources [N] (0 = parent, 1 = alt)."""
        return Network(self.parent, self.alt, source, self.cord, self.share, self.needed)


@lru_cache(maxsize=8)
def build(site: Site) -> Graph:
    """The graph of a site; the same object for an equal site."""
    nodes = tuple(node.id for node in site.nodes)
    node = {name: index for index, name in enumerate(nodes)}
    parent, alt = (
        np.array([_source(n.sources, which, node) for n in site.nodes], dtype=np.int64)
        for which in (0, 1)
    )
    found = limits_of(site)
    limits = tuple(found[name] for name in nodes)
    racks = tuple(sorted({s.rack for s in site.server}))
    groups = sorted({w.quorum for w in site.workload if w.quorum})
    width = max(2, *(len(s.cords) for s in site.server)) if site.server else 2
    cord = [_row([node[c] for c in s.cords], width, -1) for s in site.server]
    share = [_row(s.split, width, 0.0) for s in site.server]
    feeds = tuple(f.id for f in site.feed)
    return Graph(
        site=site,
        nodes=nodes,
        servers=tuple(s.id for s in site.server),
        workloads=tuple(w.id for w in site.workload),
        feeds=feeds,
        node=node,
        server={s.id: i for i, s in enumerate(site.server)},
        workload={w.id: i for i, w in enumerate(site.workload)},
        words=tuple(n.kind for n in site.nodes),
        parent=parent,
        alt=alt,
        kind=np.array([_KINDS.get(n.kind, PANEL) for n in site.nodes], dtype=np.int64),
        limits=limits,
        limit_base_w=np.array([limit.base_w for limit in limits]),
        limit_n1_w=np.array([limit.n1_w for limit in limits]),
        price_per_kwh=_prices(site, nodes),
        supply=_supply(parent, alt, np.array([node[f] for f in feeds], dtype=np.int64)),
        cord=np.array(cord, dtype=np.int64).reshape(-1, width),
        share=np.array(share).reshape(-1, width),
        needed=np.array([s.needed for s in site.server], dtype=np.int64),
        idle_w=np.array([s.idle_w for s in site.server]),
        full_w=np.array([s.full_w for s in site.server]),
        eff=_efficiency(site.server),
        cpu=np.array([s.cpu if s.engine else 0.0 for s in site.server]),
        mem=np.array([s.mem_gib if s.engine else 0.0 for s in site.server]),
        racks=racks,
        rack=np.array([racks.index(s.rack) for s in site.server], dtype=np.int64),
        cooling_w=_cooling(site, racks),
        quorum=np.array([_group(groups, w) for w in site.workload], dtype=np.int64),
    )


def _source(sources: tuple[str, ...], which: int, node: Mapping[str, int]) -> int:
    return node[sources[which]] if which < len(sources) else -1


def _row(values: Sequence[float], width: int, empty: float) -> list[float]:
    return [*values, *(empty for _ in range(width - len(values)))]


def _prices(site: Site, nodes: tuple[str, ...]) -> FloatArray:
    prices = {f.id: f.price_per_kwh for f in site.feed if not f.source}
    prices |= {u.id: u.price_per_kwh for u in site.utility}
    prices |= {g.id: g.price_per_kwh for g in site.generator}
    return np.array([prices.get(name, 0.0) for name in nodes])


def _cooling(site: Site, racks: tuple[str, ...]) -> FloatArray:
    known = {rack.id: rack.cooling_w for rack in site.rack if rack.cooling_w}
    return np.array([known.get(rack, np.inf) for rack in racks])


def _supply(parent: IntArray, alt: IntArray, feeds: IntArray) -> BoolArray:
    out = np.zeros((len(parent), len(feeds)), bool)
    out[feeds, np.arange(len(feeds))] = True
    own = out.copy()
    for node in range(len(parent)):
        for source in {int(parent[node]), int(alt[node])} - {-1}:
            out[node] |= out[source]
    upstream = own
    for node in range(len(parent) - 1, -1, -1):
        for source in {int(parent[node]), int(alt[node])} - {-1}:
            if not out[source].any():
                upstream[source] |= upstream[node]
    below = np.asarray(out.any(1))
    return np.where(below[:, None], out, upstream)


def _group(groups: list[str], workload: Workload) -> int:
    return groups.index(workload.quorum) if workload.quorum else -1


def _efficiency(servers: tuple[Server, ...]) -> FloatArray:
    """[S] dynamic watts a CPU, relative to the hosting servers' median; 1 where not known."""
    span_w = np.array([(s.full_w - s.idle_w) / max(s.cpu, 1e-9) for s in servers])
    hosts = span_w[[bool(s.engine) and s.full_w > s.idle_w for s in servers]]
    reference_w = float(np.median(hosts)) if len(hosts) else 0.0
    known = (span_w > 0) & (reference_w > 0)
    return np.where(known, span_w / (reference_w or 1.0), 1.0)
