"""How power can reach servers: sources, switches and cords as arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray


@dataclass(frozen=True, eq=False)  # no slots: ``layers`` are kept once made
class Network:
    """N nodes, S servers with up to C cords.

    A node with an alternative is a switch (ATS, STS, a board with a bus tie or a generator): it
    draws from the source it stands on while that is live, else from the other.

    Invariants: both sources of a node have smaller indices; shares of a server add up to 1.

    Attributes:
        parent: [N] -1 = root.
        alt: [N] second source of a switch, else -1.
        source: [N] 0 = stands on the parent, 1 = on the alternative.
        cord: [S,C] node that each cord hangs on, -1 = none.
        share: [S,C] of a server's power while all its cords are live; (1, 0) = hot standby.
        needed: [S] live cords without which the server is dark.
    """

    parent: IntArray
    alt: IntArray
    source: IntArray
    cord: IntArray
    share: FloatArray
    needed: IntArray

    def __len__(self) -> int:
        return len(self.parent)

    @cached_property
    def layers(self) -> list[IntArray]:
        """Nodes grouped so that the sources of each stand in an earlier group."""
        return levels(self.parent, self.alt)


def of_instance(instance: Instance, ats_source: IntArray | None = None) -> Network:
    """The network of a planning problem: every server lives on any one of its cords."""
    return Network(
        instance.node_parent,
        instance.node_alt,
        instance.ats_source if ats_source is None else ats_source,
        instance.server_cord,
        instance.server_share,
        np.ones(len(instance.server_cord), np.int64),
    )


def levels(parent: IntArray, alt: IntArray) -> list[IntArray]:
    """Nodes grouped so that the sources of each stand in an earlier group."""
    depth = np.zeros(len(parent) + 1, np.int64)
    depth[-1] = -1  # what index -1, "no source", reads
    for node in range(len(parent)):
        depth[node] = 1 + max(depth[parent[node]], depth[alt[node]])
    return [np.flatnonzero(depth[:-1] == level) for level in range(int(depth.max()) + 1)]
