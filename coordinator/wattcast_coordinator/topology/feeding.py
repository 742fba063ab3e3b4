"""Which nodes are live and how they are fed, in many cases at once.

Case 0 is the room as it is; case 1 + j has lost the nodes of the j-th contingency besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Feeding:
    """The state of all nodes in 1+K cases.

    Attributes:
        live: [N,1+K] has a source and is not lost.
        rerouted: [N,1+K] its way up differs from that of case 0.
        moved: [switches,1+K] stands on the other source than ``network.source`` says.
        switch: [N] row of a switch in ``moved``, else -1.
        path: [N,D] a node and its sources up to the root in case 0; -1 beyond the root.
    """

    network: Network
    live: BoolArray
    rerouted: BoolArray
    moved: BoolArray
    switch: IntArray
    path: IntArray

    def paths(self, node: IntArray, case: IntArray) -> IntArray:
        """[M,D] a node and its sources up to the root, in its case each; -1 beyond the root."""
        out = self.path[node].copy()
        other = np.flatnonzero(self.rerouted[node, case])
        at, where = node[other], case[other]
        for step in range(1, out.shape[1]):
            at = np.where(at >= 0, self._source(at, where), -1)
            out[other, step] = at
        return out

    def _source(self, node: IntArray, case: IntArray) -> IntArray:
        network = self.network
        other = self.moved[self.switch[node], case] & (self.switch[node] >= 0)
        on_alt = (network.alt[node] >= 0) & ((network.source[node] == 1) ^ other)
        return np.where(on_alt, network.alt[node], network.parent[node])


def energise(network: Network, lost: Sequence[IntArray], out: IntArray | None = None) -> Feeding:
    """Follow the supply from the roots down.

    Args:
        network: the room.
        lost: nodes lost in each contingency.
        out: nodes that are out of service in every case (maintenance, faults that stand).
    """
    count, cases = len(network), 1 + len(lost)
    live = np.ones((count, cases), bool)
    if out is not None:
        live[out] = False
    for case, nodes in enumerate(lost, 1):
        live[nodes, case] = False
    rerouted = np.zeros((count, cases), bool)
    switches = np.flatnonzero(network.alt >= 0)
    moved = np.zeros((max(len(switches), 1), cases), bool)
    switch = np.full(count, -1)
    switch[switches] = np.arange(len(switches))
    for nodes in network.layers[1:]:
        plain = nodes[network.alt[nodes] < 0]
        live[plain] &= live[network.parent[plain]]
        rerouted[plain] = rerouted[network.parent[plain]]
        _transfer(network, nodes[network.alt[nodes] >= 0], switch, (live, rerouted, moved))
    path = _base_paths(network, moved[:, 0], switch, len(network.layers))
    return Feeding(network, live, rerouted, moved, switch, path)


def _transfer(
    network: Network,
    nodes: IntArray,
    switch: IntArray,
    state: tuple[BoolArray, BoolArray, BoolArray],
) -> None:
    """Switches of one layer go over to their other source where the first is dead."""
    live, rerouted, moved = state
    pair = np.stack([network.parent[nodes], network.alt[nodes]])
    stands = network.source[nodes]
    first = np.take_along_axis(pair, stands[None], 0)[0]
    other = np.take_along_axis(pair, 1 - stands[None], 0)[0]
    away = ~live[first]
    live[nodes] &= ~away | live[other]
    moved[switch[nodes]] = away
    rerouted[nodes] = (away != away[:, :1]) | np.where(away, rerouted[other], rerouted[first])


def _base_paths(network: Network, moved: BoolArray, switch: IntArray, depth: int) -> IntArray:
    on_alt = (network.alt >= 0) & ((network.source == 1) ^ moved[switch])
    up = np.append(np.where(on_alt, network.alt, network.parent), -1)
    out = np.full((len(network), depth), -1)
    out[:, 0] = np.arange(len(network))
    for step in range(1, depth):
        out[:, step] = up[out[:, step - 1]]
    return out
