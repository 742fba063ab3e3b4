"""The peer of ``bench n1``: after one loss, a sparse matrix from servers to nodes.

Written apart from the product's compiler: liveness and ways up are followed for all cords of all
servers, switch by switch.
"""

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from wattcast_coordinator.topology.network import Network


def loss_matrix(network: "Network", lost: np.ndarray) -> tuple[sp.csr_array, sp.csr_array]:
    """[N,S] shares of servers' power through nodes without ``lost``, and their squares."""
    count, servers = len(network), len(network.cord)
    up, live = np.full(count, -1), np.ones(count, bool)
    live[lost] = False
    for node in range(count):
        sources = [int(network.parent[node]), int(network.alt[node])]
        if network.source[node]:
            sources.reverse()
        sources = [s for s in sources if s >= 0]
        if sources:
            up[node] = next((s for s in sources if live[s]), sources[-1])
            live[node] &= live[up[node]]
    on = (network.cord >= 0) & live[network.cord]
    weight = network.share * on
    weight = np.where((weight.sum(1) < 1e-9)[:, None], on, weight)
    total = weight.sum(1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    rows, columns, values = [], [], []
    for cord in range(network.cord.shape[1]):
        at, server = network.cord[:, cord], np.arange(servers)
        used = share[:, cord] > 0
        at, server = at[used], server[used]
        while len(at):
            rows.append(at)
            columns.append(server)
            values.append(share[server, cord])
            at = up[at]
            server, at = server[at >= 0], at[at >= 0]
    place = (np.concatenate(rows), np.concatenate(columns))
    linear = sp.csr_array(sp.coo_array((np.concatenate(values), place), (count, servers)))
    return linear, sp.csr_array(linear.power(2))
