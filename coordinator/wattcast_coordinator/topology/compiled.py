"""A site's graph compiled for its contingencies; kept until something changes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wattcast_coordinator.topology.buckets import Gather, gather
from wattcast_coordinator.topology.contingency import Contingency, contingencies
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.matrices import Matrices, build
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A room in one state of its switches and outages.

    Attributes:
        contingencies: in the order of ``matrices.lost``.
        matrices: of all of them.
        gathered: how servers enter, with the shares as stated.
        doubtful: the same with what each cord may carry at most.
    """

    graph: Graph
    contingencies: tuple[Contingency, ...]
    matrices: Matrices
    gathered: Gather
    doubtful: Gather

    def case(self, contingency: str) -> int:
        """Number of a contingency's case, by its id or name; 0 for the room as it is."""
        if not contingency:
            return 0
        for number, listed in enumerate(self.contingencies, 1):
            if contingency in (listed.id, listed.name):
                return number
        raise KeyError(contingency)


def compile_room(
    graph: Graph, out: Iterable[str], source: IntArray, mean_w: FloatArray | None = None
) -> Compiled:
    """Compile a room; the same object while nothing changed.

    Args:
        graph: of the site.
        out: nodes out of service.
        source: [N] where the switches stand, 0 = parent, 1 = alternative.
        mean_w: [S] present power, for servers with a hot spare; full power if not given.
    """
    power_w = graph.full_w if mean_w is None else mean_w
    spare_w = np.array([s.spare_below_w for s in graph.site.server])
    return _compile(graph, frozenset(out), source.tobytes(), (power_w < spare_w).tobytes())


@lru_cache(maxsize=8)
def _compile(graph: Graph, out: frozenset[str], source: bytes, sparing: bytes) -> Compiled:
    share = _shares(graph, np.frombuffer(sparing, bool))
    network = replace(graph.network(np.frombuffer(source, np.int64)), share=share)
    listed = contingencies(graph)
    gone = np.array([graph.node[name] for name in sorted(out)], dtype=np.int64)
    matrices = build(network, [c.nodes(graph) for c in listed], gone)
    doubt = np.array([s.doubt for s in graph.site.server])[:, None]
    most = np.where(graph.cord >= 0, np.minimum(share + doubt, 1.0), 0.0)
    return Compiled(
        graph,
        listed,
        matrices,
        gather(matrices.buckets, share),
        gather(matrices.buckets, most),
    )


def _shares(graph: Graph, sparing: BoolArray) -> FloatArray:
    """[S,C] shares; of servers whose spare supplies rest, on the cords that they need."""
    first = np.arange(graph.cord.shape[1]) < graph.needed[:, None]
    return np.where(sparing[:, None], first / graph.needed[:, None], graph.share)
