"""Contingencies as data: what may be lost, alone or with something else."""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import IntArray

_NOT_ALONE = ("phase", "bank", "ATS", "tie")  # part of something, or it darkens and adds nothing


@dataclass(frozen=True, slots=True)
class Contingency:
    """A loss.

    Attributes:
        id: what people call it: the equipment, or the common cause.
        lose: nodes that are gone.
        step: node of which a part is gone (a UPS module), empty if none; ``left``: the share of
            its rating that remains.
        why: the common cause in words.
        alike: the feed whose loss is the same to everything else: the node feeds nothing besides.
    """

    id: str
    lose: tuple[str, ...]
    step: str = ""
    left: float = 1.0
    why: str = ""
    alike: str = ""

    @property
    def name(self) -> str:
        """What people are told: the feed, where losing this is losing that feed."""
        return self.alike or self.id

    def nodes(self, graph: Graph) -> IntArray:
        """Indices of the nodes lost."""
        return np.array([graph.node[name] for name in self.lose], dtype=np.int64)


def contingencies(graph: Graph) -> tuple[Contingency, ...]:
    """Every single loss, every capacity step and every common-mode set of a site."""
    alike = _alike(graph)
    single = [
        Contingency(name, (name,), alike=alike.get(name, ""))
        for name, word in zip(graph.nodes, graph.words, strict=True)
        if word not in _NOT_ALONE
    ]
    together = [Contingency(c.id, c.lose, why=c.why) for c in graph.site.common_mode]
    steps = [
        Contingency(f"{u.id}: a module", (), u.id, 1 - 1 / (u.modules - u.redundant))
        for u in graph.site.ups
        if u.modules > 1 and not u.redundant
    ]
    return (*single, *together, *steps)


def _alike(graph: Graph) -> dict[str, str]:
    """Node -> the feed at the lower end of the chain that it begins."""
    below: dict[int, list[int]] = {}
    for node, pair in enumerate(zip(graph.parent, graph.alt, strict=True)):
        for source in pair:
            below.setdefault(int(source), []).append(node)
    out: dict[str, str] = {}
    for node in range(len(graph.nodes) - 1, -1, -1):  # lower nodes first
        name, under = graph.nodes[node], below.get(node, [])
        if graph.words[node] == "feed":
            out[name] = name
        elif len(under) == 1 and graph.alt[under[0]] < 0 and graph.nodes[under[0]] in out:
            out[name] = out[graph.nodes[under[0]]]
    return out
