"""Lines and neutrals: which server draws on which line of what, and the amperes that makes.

Loads of three-line equipment hang in six ways: each line to neutral, and each pair of lines. A
network of its own has a node for every way that occurs (``Lines.node``, ``Lines.way``), so that
its matrices give the watts of each way in every case. Currents are phasor sums of them; all
servers may have their own power factor. It ends where lines end: at transformers and UPS.
"""

import math
from dataclasses import dataclass

import numpy as np

from wattcast_configs.power import LINES
from wattcast_configs.wiring import Node
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

WAYS = 7  # six of three-line equipment; the last is that of one-line equipment
ONE_LINE = 6
_ENDS = ("UPS", "transformer", "generator", "utility")
_PAIRS = ((0, 1), (1, 2), (2, 0))
_ANGLE = np.exp(1j * np.radians([0.0, -120.0, 120.0]))  # of the lines' voltages to neutral
_BETWEEN = np.array([(_ANGLE[a] - _ANGLE[b]) / math.sqrt(3) for a, b in _PAIRS])


def _phasors() -> np.ndarray:
    """[3,6] current of each line a watt of each way, at one volt to neutral and pf 1."""
    out = np.zeros((3, 6), complex)
    out[np.arange(3), np.arange(3)] = _ANGLE
    for way, (a, b) in enumerate(_PAIRS, 3):
        out[a, way] = _BETWEEN[way - 3] / math.sqrt(3)
        out[b, way] = -out[a, way]
    return out


PHASORS = _phasors()


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """The ways in which a site's servers draw on lines; L of them.

    Attributes:
        network: of the L ways, for the matrices.
        node, way: [L] node of the graph, and how: 0..2 a line to neutral, 3..5 a pair of lines,
            6 the only line of one-line equipment.
        volts_per_v: [N] voltage of one-line equipment over line to neutral: 1 or root 3.
        backward: [N] three-line equipment whose lines follow each other in reverse order.
    """

    network: Network
    node: IntArray
    way: IntArray
    volts_per_v: FloatArray
    backward: BoolArray

    def lost(self, live: BoolArray) -> list[IntArray]:
        """Ways that are dead in each case, of liveness [N,K] of the nodes."""
        dead = ~live[self.node]
        return [np.flatnonzero(column) for column in dead.T]


def lines_of(graph: Graph, source: IntArray, share: FloatArray) -> Lines:
    """Follow every cord up its lines."""
    known = {node.id: node for node in graph.site.nodes}
    found: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
    waiting = [(int(cord), ONE_LINE) for cord in np.unique(graph.cord[graph.cord >= 0])]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found[at] = _above(graph, known[graph.nodes[at[0]]], at[1], known)
            waiting += found[at]
    order = sorted(found)
    place = {at: index for index, at in enumerate(order)}
    sources = [[place[up] for up in found[at]] for at in order]
    at_cord = np.full(len(graph.nodes) + 1, -1)
    for node, way in order:
        if way == ONE_LINE:
            at_cord[node] = place[node, way]
    nodes = np.array([at[0] for at in order], dtype=np.int64)
    network = Network(
        np.array([ups[0] if ups else -1 for ups in sources], dtype=np.int64),
        np.array([ups[1] if len(ups) > 1 else -1 for ups in sources], dtype=np.int64),
        source[nodes],
        at_cord[graph.cord],
        share,
        graph.needed,
    )
    ways = np.array([at[1] for at in order], dtype=np.int64)
    return Lines(network, nodes, ways, _volts(graph), _backward(graph))


def _above(
    graph: Graph, node: Node, way: int, known: dict[str, Node]
) -> tuple[tuple[int, int], ...]:
    """Ways upstream of one way of a node; none where lines end or are not known."""
    if node.kind in _ENDS:
        return ()
    out = []
    for name in node.sources:
        up = _way_above(node, way, known[name])
        if up is None:
            return ()
        out.append((graph.node[name], up))
    return tuple(out)


def _way_above(node: Node, way: int, above: Node) -> int | None:
    if above.lines == 0 or node.lines == 0:
        return None
    if above.lines == 1:
        return ONE_LINE if way == ONE_LINE else None
    if way == ONE_LINE:
        return LINES.get(node.line)
    if way < 3:
        return node.rotation[way]
    ends = {node.rotation[line] for line in _PAIRS[way - 3]}
    return 3 + next(i for i, pair in enumerate(_PAIRS) if set(pair) == ends)


def _volts(graph: Graph) -> FloatArray:
    out = np.ones(len(graph.nodes))
    for index, node in enumerate(graph.site.nodes):
        if node.line:
            out[index] = math.sqrt(3) if LINES.get(node.line, 0) > 2 else 1.0
        elif node.lines == 1 and node.sources:
            out[index] = out[graph.node[node.sources[0]]]
    return out


def _backward(graph: Graph) -> BoolArray:
    """Three lines connected in odd order turn the other way round, and so do all behind them."""
    out = np.zeros(len(graph.nodes), bool)
    for index, node in enumerate(graph.site.nodes):
        odd = node.rotation not in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        above = bool(node.sources) and bool(out[graph.node[node.sources[0]]])
        out[index] = above ^ odd
    return out


def currents(
    watts: np.ndarray, three: BoolArray, volts_v: FloatArray, third_harmonic: float
) -> tuple[FloatArray, FloatArray]:
    """Amperes of lines and neutrals.

    Args:
        watts: [G,7,H] complex power of each way: watts less var times j, lagging positive; plus
            var times j where the lines follow each other in reverse order (the mirror image).
        three: [G] whether the equipment has three lines.
        volts_v: [G] line to neutral, or of the only line.
        third_harmonic: over fundamental current of line-to-neutral loads.

    Returns:
        [G,3,H] of the lines (one-line equipment has its only one first) and [G,H] of the neutral
        (0 in one-line equipment, whose other conductor carries what its line carries).
    """
    per_v = watts / volts_v[:, None, None]
    line = np.einsum("lw,gwh->glh", PHASORS, per_v[:, :6])
    out = np.abs(line)
    out[~three] = 0.0
    out[~three, 0] = np.abs(per_v[~three, ONE_LINE])
    to_neutral = per_v[:, :3]
    fundamental = np.abs(np.einsum("w,gwh->gh", _ANGLE, to_neutral))
    triplen = third_harmonic * np.abs(to_neutral).sum(1)
    return out, np.where(three[:, None], np.hypot(fundamental, triplen), 0.0)
