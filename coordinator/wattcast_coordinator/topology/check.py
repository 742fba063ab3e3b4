"""What is doubtful about a site as commissioned, with the place and a remedy.

What cannot be right at all (names that are not defined, something that feeds itself, shares that
do not add up) is an error when the file is read; here are things that may be meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattcast_configs.curve import Curve
from wattcast_configs.site import Server
from wattcast_configs.wiring import Node
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.units import FloatArray

_GRID = np.geomspace(1.0, 12.0, 200)  # overload currents at which two breakers are compared
_PROTECTED = ("breaker", "rack PDU", "bank", "UPS")


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubt: ``kind`` for machines, ``place`` and ``text`` for people."""

    kind: str
    place: str
    text: str


def findings(graph: Graph) -> tuple[Finding, ...]:
    """All doubts about a site, in the order of its file."""
    nodes = {node.id: node for node in graph.site.nodes}
    return (
        *_ratings(graph, nodes),
        *_selectivity(graph, nodes),
        *(found for server in graph.site.server for found in _server(graph, server)),
        *_cooling(graph),
    )


def _ratings(graph: Graph, nodes: dict[str, Node]) -> Iterator[Finding]:
    """Something bears more than what feeds it; something has no limit."""
    for node in nodes.values():
        limit = graph.limits[graph.node[node.id]]
        if node.kind not in ("phase", "board", "utility", "feed") and not limit.why:
            yield Finding("no rating", node.id, f"{node.kind}: no limit is known; give a rating")
        for source in node.sources:
            above = graph.limits[graph.node[source]]
            if limit.rating_a > above.rating_a and np.isfinite(limit.rating_a):
                yield Finding(
                    "downstream above upstream",
                    node.id,
                    f"{node.kind}: bears {limit.rating_a:g} A a line, but {source}, which feeds it,"
                    f" only {above.rating_a:g} A: the upstream one trips first; correct the ratings"
                    " or accept that more goes dark",
                )


def _selectivity(graph: Graph, nodes: dict[str, Node]) -> Iterator[Finding]:
    """Breaker pairs of which the upper may open before the lower has cleared an overload."""
    curves = {curve.name: curve for curve in graph.site.curve}
    for node in nodes.values():
        above = _protected_above(node, nodes)
        if node.curve in curves and above is not None and above.curve in curves:
            own, upper = (graph.limits[graph.node[n.id]].rating_a for n in (node, above))
            why = _clash(curves[node.curve], own, curves[above.curve], upper)
            if why:
                yield Finding("not selective", node.id, f"with {above.id} upstream: {why}")


def _protected_above(node: Node, nodes: dict[str, Node]) -> Node | None:
    while node.sources:
        node = nodes[node.sources[0]]
        if node.curve and node.kind in _PROTECTED:
            return node if node.kind != "UPS" else None
    return None


def _clash(lower: Curve, lower_a: float, upper: Curve, upper_a: float) -> str:
    one, other = lower.at("", 25.0), upper.at("", 25.0)
    if one is None or other is None or not np.isfinite([lower_a, upper_a]).all():
        return ""
    if not one.latest:
        return f"the curve {lower.name} does not say by when it trips; selectivity is not proven"
    amps = lower_a * _GRID[lower_a * _GRID >= one.latest[0][0] * lower_a]
    cleared_s = _interpolated(amps / lower_a, one.latest)
    opens_s = np.where(
        amps / upper_a < other.points[0][0], np.inf, _interpolated(amps / upper_a, other.points)
    )
    bad = np.flatnonzero(opens_s <= cleared_s)
    if not len(bad):
        return ""
    at = amps[bad[0]]
    return (
        f"at {at:.0f} A it may open after {opens_s[bad[0]]:.2g} s, while this one takes up to"
        f" {cleared_s[bad[0]]:.2g} s; choose ratings or curves further apart"
    )


def _interpolated(ratio: FloatArray, points: tuple[tuple[float, float], ...]) -> FloatArray:
    loads, times = np.array(points).T
    return np.asarray(np.exp(np.interp(np.log(ratio), np.log(loads), np.log(times + 1e-3))))


def _server(graph: Graph, server: Server) -> Iterator[Finding]:
    feeds = graph.feeds_of(server.id)
    place = f"server {server.id}"
    if not feeds:
        yield Finding("orphan cord", place, "no feed supplies any of its cords; correct 'cords'")
    each = [graph.feeds_of_node(cord) for cord in server.cords]
    if len(server.cords) > 1 and len(feeds) == 1:
        yield Finding(
            "cords on one feed",
            place,
            f"all {len(server.cords)} cords hang on feed {next(iter(feeds))}: its loss darkens the"
            " server; plug one into another feed",
        )
    elif len(server.cords) > 1:
        for lost in sorted(feeds):
            left = sum(cord != {lost} for cord in each)
            if 0 < left < server.needed:
                yield Finding(
                    "dark on one loss",
                    place,
                    f"needs {server.needed} cords, but {left} are left without feed {lost}",
                )
    yield from _supplies(graph, server)


def _supplies(graph: Graph, server: Server) -> Iterator[Finding]:
    place = f"server {server.id}"
    if server.psu_w and server.full_w > server.needed * server.psu_w:
        yield Finding(
            "supplies too small",
            place,
            f"{server.full_w:.0f} W at full use, but {server.needed} supplies give"
            f" {server.needed * server.psu_w:.0f} W; state more in 'needed', or cap it",
        )
    electrical = graph.site.electrical
    factor = server.power_factor or electrical.power_factor
    full_a = server.full_w / server.needed / (electrical.voltage_v * electrical.lowest * factor)
    if server.cord_a and full_a > server.cord_a:
        yield Finding(
            "cord too small",
            place,
            f"one cord may have to carry {full_a:.1f} A at full use and bears {server.cord_a:g} A",
        )


def _cooling(graph: Graph) -> Iterator[Finding]:
    heat_w = np.bincount(graph.rack, graph.full_w, len(graph.racks))
    for name, heat, bears in zip(graph.racks, heat_w, graph.cooling_w, strict=True):
        if heat > bears:
            yield Finding(
                "cooling",
                f"rack {name}",
                f"{heat:.0f} W at full use, cooling for {bears:.0f} W",
            )
    rows = {rack.id: rack.row for rack in graph.site.rack}
    for row in graph.site.row:
        heat = sum(
            h for name, h in zip(graph.racks, heat_w, strict=True) if rows.get(name) == row.id
        )
        if heat > row.cooling_w:
            text = f"{heat:.0f} W at full use, cooling for {row.cooling_w:.0f} W"
            yield Finding("cooling", f"row {row.id}", text)
