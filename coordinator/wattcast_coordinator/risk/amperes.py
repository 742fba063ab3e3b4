"""The room in amperes: every line and neutral, as it is and after every loss.

The quantile of a current is its phasor sum at the expected loads, plus the deviation that the
parts can add up to in the worst case of angles. Watts become amperes at the voltage given (the
lowest permitted, unless measured) and each server's power factor.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wattcast_coordinator.risk.nminus import Moments
from wattcast_coordinator.topology.buckets import Gather, gather
from wattcast_coordinator.topology.compiled import Compiled
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.lines import PHASORS, WAYS, Lines, currents, lines_of
from wattcast_coordinator.topology.matrices import Matrices, build, sums
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Amperes:
    """Currents of G places: a node in a case.

    Attributes:
        case, node: [G] case 0 is the room as it is, 1 + j the j-th contingency.
        line_a: [G,3,H] quantile current of each line; ``neutral_a``: [G,H].
        limit_a, neutral_limit_a: [G] what they may be.
    """

    case: IntArray
    node: IntArray
    line_a: FloatArray
    neutral_a: FloatArray
    limit_a: FloatArray
    neutral_limit_a: FloatArray

    def used(self) -> FloatArray:
        """[G] largest share of its limit that a line or the neutral carries in some step."""
        line = self.line_a.max((1, 2)) / self.limit_a
        return np.asarray(np.maximum(line, self.neutral_a.max(1) / self.neutral_limit_a))

    def over(self) -> BoolArray:
        """[G] places where a line or the neutral exceeds its limit in some step."""
        return np.asarray(self.used() > 1 + 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class _Wired:
    """The lines of a compiled room, compiled."""

    lines: Lines
    matrices: Matrices
    gathered: Gather


@lru_cache(maxsize=8)
def wired(room: Compiled) -> _Wired:
    """Compile the lines of a room for the same cases."""
    network = room.matrices.network
    lines = lines_of(room.graph, network.source, network.share)
    live = room.matrices.feeding.live
    out, *lost = lines.lost(live)
    matrices = build(lines.network, lost, out)
    doubt = np.array([s.doubt for s in room.graph.site.server])[:, None]
    most = np.where(network.cord >= 0, np.minimum(network.share + doubt, 1.0), 0.0)
    return _Wired(lines, matrices, gather(matrices.buckets, most))


def is_rated(graph: Graph) -> bool:
    """Whether the site says anything in amperes."""
    return any(np.isfinite(limit.base_a) for limit in graph.limits)


def amperes(
    room: Compiled,
    servers: Moments,
    z: tuple[float, float],
    volts_v: FloatArray | None = None,
    *,
    every: bool = False,
) -> Amperes:
    """Currents of all rated equipment as the room is, and where a loss adds load.

    Args:
        room: compiled.
        servers: forecasts in watts.
        z: deviations above the mean, as the room is and after a loss.
        volts_v: [N] measured line to neutral at the loads behind each node; the lowest permitted
            if None.
        every: unrated equipment, and nodes that a loss relieves, too.
    """
    graph, w = room.graph, wired(room)
    steps = len(servers.growth)
    watts, variance = _complex(graph, servers)
    base, base_v, rows, rows_v = sums(w.matrices, w.gathered, watts, variance)
    case, node = _places(graph, w, every=every)
    value = np.zeros((len(case), WAYS, watts.shape[1]))
    spread = np.zeros((len(case), WAYS))
    _fill(value, spread, (case, node), w, (base, base_v, rows, rows_v))
    three = np.array([n.lines == 3 for n in graph.site.nodes])[node]
    if volts_v is None:
        electrical = graph.site.electrical
        volts_v = np.full(len(graph.nodes), electrical.voltage_v * electrical.lowest)
    at_v = (volts_v * w.lines.volts_per_v)[node]
    turn = np.where(w.lines.backward[node], -1.0, 1.0)
    line_a, neutral_a = currents(
        value[..., :steps] - 1j * turn[:, None, None] * value[..., steps : 2 * steps],
        three,
        at_v,
        graph.site.electrical.third_harmonic,
    )
    extra = _deviation(value[..., 2 * steps :], spread, three) / at_v[:, None]
    above = np.where(case > 0, z[1], z[0])[:, None] * extra
    line_a += np.where(line_a > 0, above[:, :3, None], 0) * servers.growth
    neutral_a += above[:, 3:] * servers.growth * three[:, None]
    intact = case == 0
    limit_a = np.array([(x.base_a, x.n1_a, x.neutral_a) for x in graph.limits])[node]
    return Amperes(
        case,
        node,
        line_a,
        neutral_a,
        np.where(intact, limit_a[:, 0], limit_a[:, 1]),
        np.where(three, limit_a[:, 2], np.inf),
    )


def _complex(graph: Graph, servers: Moments) -> tuple[FloatArray, FloatArray]:
    """[S,2H+R] watts, var and loadings in volt-amperes, and [S] variances likewise."""
    default = graph.site.electrical.power_factor
    factor = np.array([s.power_factor or default for s in graph.site.server])
    var_per_w = np.sqrt(1 / factor**2 - 1)
    steps = len(servers.growth)
    mean_w, loading_w = servers.values[:, :steps], servers.values[:, steps:]
    values = np.hstack([mean_w, mean_w * var_per_w[:, None], loading_w / factor[:, None]])
    return values, servers.variance / factor**2


def _places(graph: Graph, w: _Wired, *, every: bool) -> tuple[IntArray, IntArray]:
    """(case, node) of everything to be judged."""
    count = len(graph.nodes)
    rated = np.array([np.isfinite(limit.base_a) for limit in graph.limits]) | every
    wanted = w.matrices.adds | every
    changed = w.matrices.case[wanted] * count + w.lines.node[w.matrices.node[wanted]]
    present = np.unique(w.lines.node[w.matrices.feeding.live[:, 0]])
    place = np.unique(np.concatenate([present, changed]))
    case, node = np.divmod(place, count)
    return case[rated[node]], node[rated[node]]


def _fill(
    value: FloatArray,
    spread: FloatArray,
    places: tuple[IntArray, IntArray],
    w: _Wired,
    loads: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> None:
    """Put the ways' loads [G,7,..] where they belong: as the room is, then as changed."""
    base, base_v, rows, rows_v = loads
    case, node = places
    way_at = np.full((int(w.lines.node.max(initial=-1)) + 1, WAYS), -1)
    way_at[w.lines.node, w.lines.way] = np.arange(len(w.lines.node))
    at = way_at[node]
    live = (at >= 0) & w.matrices.feeding.live[at, case[:, None]]
    value[live], spread[live] = base[at[live]], base_v[at[live]]
    count = int(node.max(initial=0)) + 1
    key = case * count + node
    row_node = w.lines.node[w.matrices.node]
    wanted = w.matrices.case * count + row_node
    place = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    known = (row_node < count) & (key[place] == wanted) if len(key) else np.zeros(0, bool)
    way = w.lines.way[w.matrices.node[known]]
    value[place[known], way], spread[place[known], way] = rows[known], rows_v[known]


def _deviation(loading_va: FloatArray, variance: FloatArray, three: BoolArray) -> FloatArray:
    """[G,4] volt-amperes of deviation that lines and neutral can have at most."""
    weight = np.zeros((4, WAYS))
    weight[:3, :6] = np.abs(PHASORS)
    weight[3, :3] = 1.0
    factor = np.einsum("lw,gwr->glr", weight, np.abs(loading_va))
    own = np.maximum(np.einsum("lw,gw->gl", weight**2, variance), 0)
    out = np.sqrt((factor**2).sum(2) + own)
    single = np.sqrt((loading_va[:, 6] ** 2).sum(1) + np.maximum(variance[:, 6], 0))
    out[~three] = 0.0
    out[~three, 0] = single[~three]
    return np.asarray(out)
