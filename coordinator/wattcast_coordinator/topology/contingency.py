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
    """

    id: str
    lose: tuple[str, ...]
    step: str = ""
    left: float = 1.0
    why: str = ""

    def nodes(self, graph: Graph) -> IntArray:
        """Indices of the nodes lost."""
        return np.array([graph.node[name] for name in self.lose], dtype=np.int64)


def contingencies(graph: Graph) -> tuple[Contingency, ...]:
    """Every single loss, every capacity step and every common-mode set of a site."""
    single = [
        Contingency(name, (name,))
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
