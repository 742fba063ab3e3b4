"""What hangs on what: all power nodes of a site in order, sources first.

Three-line rack PDUs have a node for each way in which something is plugged in (``pdu:L1``,
``pdu:L1-L2``, ``pdu:bank``). A board with more than two sources becomes a chain of nodes with two.
A bus tie becomes one node for each board that it may feed, on the other board's source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wattcast_configs.power import LINES, Rating
from wattcast_core.errors import ConfigError

if TYPE_CHECKING:
    from wattcast_configs.site import Ats, Pdu, Site


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the power graph.

    Attributes:
        sources: none (a root), one, or two (it draws from the first that is live).
        kind: word for people: ``feed``, ``UPS``, ``rack PDU``...
        rating: as the site file says; None where limits are given in watts, or not at all.
        lines: 3, 1, or 0 where the site file does not say.
        line: of a one-line node, to which of its source's lines it connects.
        rotation: of a three-line node, which of its source's lines its own three are.
        curve: name of its trip curve.
        efficiency: power out over power in.
        other_w: load besides the servers.
    """

    id: str
    kind: str
    sources: tuple[str, ...] = ()
    rating: Rating | None = None
    lines: int = 0
    line: str = ""
    rotation: tuple[int, ...] = (0, 1, 2)
    curve: str = ""
    efficiency: float = 1.0
    other_w: float = 0.0


@dataclass(slots=True)
class _Order:
    nodes: Mapping[str, Node]
    depth: dict[str, int] = field(default_factory=dict)

    def of(self, name: str, way: tuple[str, ...] = ()) -> int:
        if name in way:
            ring = " -> ".join((*way[way.index(name) :], name))
            raise ConfigError(f"{name}: feeds itself ({ring}); open the ring at one 'source'")
        if name not in self.depth:
            above = (self.of(source, (*way, name)) for source in self.nodes[name].sources)
            self.depth[name] = 1 + max(above, default=-1)
        return self.depth[name]


def wire(site: "Site") -> tuple[Node, ...]:
    """All nodes, sources before what they feed.

    Raises:
        ConfigError: a name is used twice or not defined, or something feeds itself.
    """
    nodes: dict[str, Node] = {}
    for node in _all(site):
        if node.id in nodes:
            raise ConfigError(f"{node.kind} {node.id}: the id is used twice; ids must be unique")
        nodes[node.id] = node
    for node in nodes.values():
        for source in node.sources:
            if source not in nodes:
                raise ConfigError(
                    f"{node.kind} {node.id}: source '{source}' is not defined; known:"
                    f" {', '.join(sorted(nodes)[:20])}"
                )
    order = _Order(nodes)
    rank = {name: (order.of(name), index) for index, name in enumerate(nodes)}
    return tuple(sorted(nodes.values(), key=lambda node: rank[node.id]))


def _all(site: "Site") -> Iterator[Node]:
    for u in site.utility:
        yield Node(u.id, "utility", (), u.rating, 3)
    for g in site.generator:
        yield Node(g.id, "generator", (), g.rating, 3)
    for t in site.transformer:
        yield Node(t.id, "transformer", (t.source,), t.rating, 3, efficiency=t.efficiency)
    yield from _boards(site)
    for s in site.sts:
        pair = (s.source_a, s.source_b) if s.preferred == "A" else (s.source_b, s.source_a)
        yield Node(s.id, "STS", pair, s.rating, 3)
    for p in site.ups:
        yield Node(p.id, "UPS", (p.source,), p.rating, 3, curve=p.curve, efficiency=p.efficiency)
    for b in site.breaker:
        yield Node(b.id, "breaker", (b.source,), b.rating, b.lines, b.line, curve=b.curve)
    for f in site.feed:
        sources = (f.source,) if f.source else ()
        yield Node(f.id, "feed", sources, f.rating, 3 if f.source else 0, curve=f.curve)
    plugged = _plugged(site)
    for pdu in site.pdu:
        yield from _pdu(pdu, site, plugged[pdu.id])
    three = {pdu.id for pdu in site.pdu if pdu.lines == 3}
    for ats in site.ats:
        yield from _ats(ats, three, plugged.get(ats.id, set()))


def _boards(site: "Site") -> Iterator[Node]:
    source = {b.id: b.source for b in site.board}
    ties: dict[str, list[str]] = {}
    for tie in site.tie:
        for to, other in (tie.boards, tie.boards[::-1]):
            if other not in source:
                raise ConfigError(f"tie {tie.id}: '{other}' is not a board")
            name = f"{tie.id}>{to}"
            ties.setdefault(to, []).append(name)
            yield Node(name, "tie", (source[other],), tie.rating, 3)
    for board in site.board:
        sources = [board.source, *filter(None, [board.alternative]), *ties.get(board.id, [])]
        while len(sources) > 2:
            name = f"{board.id}:{len(sources) - 2}"
            yield Node(name, "board", tuple(sources[:2]), board.rating, 3)
            sources[:2] = [name]
        yield Node(board.id, "board", tuple(sources), board.rating, 3, other_w=board.other_w)


def _pdu(pdu: "Pdu", site: "Site", ways: set[str]) -> Iterator[Node]:
    feeds = [feed.id for feed in site.feed]
    if pdu.feed and pdu.feed not in feeds:
        raise ConfigError(
            f"pdu {pdu.id}: feed: '{pdu.feed}' is not defined; known: {', '.join(sorted(feeds))}"
        )
    if bool(pdu.feed) == bool(pdu.source):
        raise ConfigError(f"pdu {pdu.id}: give what it hangs on, as 'feed' or 'source'")
    source = pdu.source or pdu.feed
    rotation = _rotation(pdu)
    yield Node(pdu.id, "rack PDU", (source,), pdu.rating, pdu.lines, pdu.line, rotation, pdu.curve)
    if pdu.lines == 3:
        for line in sorted(ways, key=LINES.__getitem__):
            yield Node(f"{pdu.id}:{line}", "phase", (pdu.id,), None, 1, line)
    for bank in pdu.bank:
        above = f"{pdu.id}:{bank.line}" if pdu.lines == 3 else pdu.id
        yield Node(
            f"{pdu.id}:{bank.id}", "bank", (above,), bank.rating, 1, bank.line, curve=bank.curve
        )


def _plugged(site: "Site") -> dict[str, set[str]]:
    """Three-line equipment -> ways in which something is plugged into it."""
    out: dict[str, set[str]] = {pdu.id: {bank.line for bank in pdu.bank} for pdu in site.pdu}
    cords = (cord for server in site.server for cord in server.cords)
    sources = (source for ats in site.ats for source in (ats.source_a, ats.source_b))
    for cord in (*cords, *sources):
        name, _, way = cord.partition(":")
        if way in LINES:
            out.setdefault(name, set()).add(way)
    return out


def _rotation(pdu: "Pdu") -> tuple[int, ...]:
    """``L2 L3 L1`` as indices: its own lines are these of its source."""
    words = pdu.rotation.split()
    if sorted(words) != ["L1", "L2", "L3"]:
        raise ConfigError(f"pdu {pdu.id}: rotation '{pdu.rotation}' is no order of L1 L2 L3")
    return tuple(LINES[word] for word in words)


def _ats(ats: "Ats", three: set[str], ways: set[str]) -> Iterator[Node]:
    lines = 3 if {ats.source_a, ats.source_b} <= three else 1
    yield Node(ats.id, "ATS", (ats.source_a, ats.source_b), ats.rating, lines)
    for line in sorted(ways, key=LINES.__getitem__) if lines == 3 else ():
        yield Node(f"{ats.id}:{line}", "phase", (ats.id,), None, 1, line)
