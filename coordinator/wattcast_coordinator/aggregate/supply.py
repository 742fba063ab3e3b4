"""The power side of a problem: nodes, limits, cords and switches as they stand now."""

from typing import Any

import numpy as np

from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.topology.graph import ATS, FEED, Graph
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

TRANSFER_COST = 2.0


def arrays(
    graph: Graph, standing: Standing, frozen: frozenset[str], disturbed: FloatArray
) -> dict[str, Any]:
    """Node and cord arrays of the instance.

    Args:
        graph: the room.
        standing: what is lost, where switches stand, which are barred.
        frozen: feeds on which nothing may be done.
        disturbed: [S] cost of disturbing everything on a server.
    """
    dead = np.isin(graph.nodes, list(standing.lost))
    parent, alt = _switched(graph, dead)
    for node in np.flatnonzero(graph.kind != FEED):
        dead[node] |= dead[parent[node]]
    cord = np.where(dead[graph.cord] & (graph.cord >= 0), -1, graph.cord)
    one_loss = bool(standing.lost)
    return {
        "node_parent": parent,
        "node_alt": alt,
        "node_kind": graph.kind,
        "ats_source": _positions(graph, standing, alt),
        "limit_base_w": graph.limit_n1_w if one_loss else graph.limit_base_w,
        "limit_n1_w": graph.limit_n1_w,
        "price_per_kwh": graph.price_per_kwh,
        "ats_cost": _costs(graph, standing, frozen, disturbed),
        "server_cord": cord,
        "server_share": np.where(cord >= 0, graph.share, 0.0),
        "contingency": np.zeros(0, np.int64) if one_loss else _contingencies(graph),
    }


def dark(graph: Graph, lost: frozenset[str]) -> tuple[str, ...]:
    """Servers that no live feed can supply."""
    return tuple(name for name in graph.servers if graph.feeds_of(name) <= lost)


def _switched(graph: Graph, dead_feeds: BoolArray) -> tuple[IntArray, IntArray]:
    """Parent and alternative of each node: a switch with a dead source has only the other."""
    dead = dead_feeds.copy()
    pdus = np.flatnonzero((graph.kind != FEED) & (graph.kind != ATS))
    dead[pdus] = dead[graph.parent[pdus]]
    parent, alt = graph.parent.copy(), graph.alt.copy()
    for node in np.flatnonzero(graph.kind == ATS):
        if dead[parent[node]] and not dead[alt[node]]:
            parent[node], alt[node] = alt[node], -1
        elif dead[alt[node]]:
            alt[node] = -1
    return parent, alt


def _positions(graph: Graph, standing: Standing, alt: IntArray) -> IntArray:
    """[N] last known source of each switch; the preferred one until it was read."""
    out = np.zeros(len(graph.nodes), np.int64)
    for ats in graph.site.ats:
        node = graph.node[ats.id]
        known = standing.ats.get(ats.id, int(ats.preferred == "B"))
        out[node] = known if alt[node] >= 0 else 0
    return out


def _costs(
    graph: Graph, standing: Standing, frozen: frozenset[str], disturbed: FloatArray
) -> FloatArray:
    """[N] 2 + 1 % x outage weight 100 x disturbance of what hangs on it; infinite = not allowed."""
    out = np.zeros(len(graph.nodes))
    for ats in graph.site.ats:
        node = graph.node[ats.id]
        known = ats.id in standing.ats
        free = not (graph.feeds_of_node(ats.id) & frozen)
        behind = disturbed[(graph.cord == node).any(1)].sum()
        allowed = known and free and ats.id not in standing.ats_barred
        out[node] = TRANSFER_COST + behind if allowed else np.inf
    return out


def _contingencies(graph: Graph) -> IntArray:
    """Every feed, and the rack PDUs of servers whose cords both hang on one feed."""
    extra = set()
    for row, server in enumerate(graph.site.server):
        leaves = {int(c) for c in graph.cord[row] if c >= 0}
        if len(leaves) == 2 and len(graph.feeds_of(server.id)) == 1:
            extra |= {leaf for leaf in leaves if graph.kind[leaf] != ATS}
    return np.array([*range(len(graph.feeds)), *sorted(extra)], dtype=np.int64)
