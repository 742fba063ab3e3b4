"""The power side of a problem: nodes, limits, cords and switches as they stand now."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.topology.compiled import compile_room
from wattcast_coordinator.topology.graph import Graph
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
    parent, alt, dead = _switched(graph, standing.lost)
    cord = np.where(dead[graph.cord] & (graph.cord >= 0), -1, graph.cord)
    one_loss = bool(standing.lost)
    positions = _positions(graph, standing, alt)
    return {
        "node_parent": parent,
        "node_alt": alt,
        "node_kind": graph.kind,
        "ats_source": positions,
        "limit_base_w": graph.limit_n1_w if one_loss else graph.limit_base_w,
        "limit_n1_w": graph.limit_n1_w,
        "ats_cost": _costs(graph, standing, frozen, disturbed),
        "server_cord": cord,
        "server_share": np.where(cord >= 0, graph.share, 0.0),
        "contingency": np.zeros(0, np.int64) if one_loss else _contingencies(graph, positions),
    }


def prices(graph: Graph, known: Mapping[str, float]) -> FloatArray:
    """[N] money a kWh at the feeds: as their meters say, else as the site file; never below 0.

    A price that is missing or no number is never taken for 0.
    """
    out = np.zeros(len(graph.nodes))
    for feed in graph.feeds:
        node = root = graph.node[feed]
        while graph.parent[root] >= 0:
            root = int(graph.parent[root])
        price = known.get(feed, math.nan)
        out[node] = max(price if math.isfinite(price) else graph.price_per_kwh[root], 0.0)
    return out


def dark(graph: Graph, lost: frozenset[str]) -> tuple[str, ...]:
    """Servers that nothing live can supply."""
    _, _, dead = _switched(graph, lost)
    live = np.asarray(((graph.cord >= 0) & ~dead[graph.cord]).any(1))
    return tuple(name for name, on in zip(graph.servers, live, strict=True) if not on)


def _switched(graph: Graph, lost: frozenset[str]) -> tuple[IntArray, IntArray, BoolArray]:
    """Parent, alternative and death of each node; a switch with a dead source has the other."""
    dead = np.isin(graph.nodes, list(lost))
    parent, alt = graph.parent.copy(), graph.alt.copy()
    for node in range(len(dead)):
        if alt[node] >= 0 and dead[parent[node]] and not dead[alt[node]]:
            parent[node], alt[node] = alt[node], -1
        elif alt[node] >= 0 and dead[alt[node]]:
            alt[node] = -1
        dead[node] |= parent[node] >= 0 and dead[parent[node]]
    return parent, alt, dead


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
    out = np.where(graph.alt >= 0, np.inf, 0.0)  # ties, boards and STS are never commanded
    for ats in graph.site.ats:
        node = graph.node[ats.id]
        known = ats.id in standing.ats
        free = not (graph.feeds_of_node(ats.id) & frozen)
        behind = disturbed[(graph.cord == node).any(1)].sum()
        allowed = known and free and ats.id not in standing.ats_barred
        out[node] = TRANSFER_COST + behind if allowed else np.inf
    return out


def _contingencies(graph: Graph, positions: IntArray) -> IntArray:
    """Every feed, and every other single loss that is not covered by one further up."""
    room = compile_room(graph, (), positions)
    kept = np.unique(room.matrices.case[room.matrices.kept]) - 1
    lose = [room.contingencies[case].lose for case in kept]
    needed = {graph.node[names[0]] for names in lose if len(names) == 1}
    return np.array(sorted(needed | {graph.node[feed] for feed in graph.feeds}), dtype=np.int64)
