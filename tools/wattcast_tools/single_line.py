"""A single-line diagram as SVG: sources above, racks below, one column a chain."""

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wattcast_coordinator.topology.graph import Graph

_WIDE, _HIGH, _GAP_X, _GAP_Y = 128, 40, 12, 44
_COLOURS = {
    "utility": "#d9e8f6", "generator": "#f6e3d9", "transformer": "#d9e8f6", "board": "#eeeeee",
    "UPS": "#dff2df", "feed": "#fff3c4", "STS": "#e9dcf5", "ATS": "#e9dcf5",
}  # fmt: skip
_SVG = "http://www.w3.org/2000/svg"
_LEFT_OUT = ("phase", "bank")  # parts of a rack PDU


def draw(graph: "Graph") -> str:
    """The power graph of a site; standby sources are dashed."""
    shown = [n for n in graph.site.nodes if n.kind not in _LEFT_OUT]
    names = {n.id for n in shown}
    sources = {n.id: [_shown(s, names) for s in n.sources] for n in shown}
    place = _places(sources)
    width = max((x for x, _ in place.values()), default=0) + _WIDE + _GAP_X
    height = max((y for _, y in place.values()), default=0) + _HIGH + _GAP_Y
    box = f"0 0 {width:.0f} {height:.0f}"
    parts = [
        f'<svg xmlns="{_SVG}" viewBox="{box}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(graph.site.name)}</title>",
    ]
    for name, above in sources.items():
        for rank, source in enumerate(above):
            parts.append(_wire(place[source], place[name], standby=rank > 0))
    parts += [_box(graph, n.id, n.kind, place[n.id]) for n in shown]
    return "\n".join([*parts, "</svg>", ""])


def _shown(name: str, names: set[str]) -> str:
    """Itself, or the equipment that it is a part of."""
    return name if name in names else name.partition(":")[0]


def _places(sources: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Leaves side by side; whatever feeds something stands above the middle of it."""
    depth: dict[str, int] = {}
    for name, above in sources.items():  # sources come first
        depth[name] = 1 + max((depth[s] for s in above), default=-1)
    below: dict[str, list[str]] = defaultdict(list)
    for name, above in sources.items():
        for source in above[:1]:
            below[source].append(name)
    x: dict[str, float] = {}
    column = 0.0

    def settle(name: str) -> float:
        nonlocal column
        if name not in x:
            spots = [settle(child) for child in below[name]]
            if not spots:
                spots = [column]
                column += _WIDE + _GAP_X
            x[name] = sum(spots) / len(spots)
        return x[name]

    for name, above in sources.items():
        if not above:
            settle(name)
    return {name: (x[name] + _GAP_X, depth[name] * (_HIGH + _GAP_Y) + _GAP_Y / 2) for name in x}


def _wire(above: tuple[float, float], below: tuple[float, float], *, standby: bool) -> str:
    x1, y1 = above[0] + _WIDE / 2, above[1] + _HIGH
    x2, y2 = below[0] + _WIDE / 2, below[1]
    middle = y2 - _GAP_Y / 2
    dash = ' stroke-dasharray="5 4"' if standby else ""
    return (
        f'<path d="M{x1:.0f} {y1:.0f}V{middle:.0f}H{x2:.0f}V{y2:.0f}" fill="none"'
        f' stroke="#555"{dash}/>'
    )


def _box(graph: "Graph", name: str, kind: str, at: tuple[float, float]) -> str:
    x, y = at
    limit = graph.limits[graph.node[name]]
    bears = f"{limit.base_w / 1000:.1f} kW" if limit.base_w < float("inf") else ""
    colour = _COLOURS.get(kind, "#ffffff")
    text = " ".join(filter(None, (kind, bears)))
    return (
        f'<g><rect x="{x:.0f}" y="{y:.0f}" width="{_WIDE}" height="{_HIGH}" rx="4"'
        f' fill="{colour}" stroke="#555"/>'
        f'<text x="{x + _WIDE / 2:.0f}" y="{y + 16:.0f}" text-anchor="middle"'
        f' font-weight="bold">{escape(name)}</text>'
        f'<text x="{x + _WIDE / 2:.0f}" y="{y + 31:.0f}" text-anchor="middle">{escape(text)}</text>'
        "</g>"
    )
