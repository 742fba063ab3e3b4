"""Find the constraints that can bind, so that the search carries few rows.

A loss binds where it adds load. The loss of a feed outdoes the loss of anything below it wherever
it takes at least as much of every server through the same node; that is tested entry by entry,
never assumed. Where doing nothing already breaks a row, the rows it stands for are kept too: they
must not get worse, and a row that may stay broken says nothing about them. Of rows with the same
load (a feed and its only panel) the one with the lowest limit is kept.
"""

import numpy as np

from wattcast_coordinator.aggregate.loads import ServerLoads
from wattcast_coordinator.aggregate.routes import tally
from wattcast_coordinator.plan.network import EQUAL, Network
from wattcast_coordinator.plan.rows import Rows, make_rows, moments, quantile
from wattcast_coordinator.plan.ways import Entries
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray


def compile_rows(instance: Instance, network: Network, loads: ServerLoads) -> Rows:
    """Keep the rows that no other row makes redundant; ``loads`` are the present ones."""
    stands_for = _dominator(instance, network)
    row = _needed(instance, network, stands_for)
    rows = _assemble(instance, network, row)
    kept = rows.case * len(instance.node_parent) + rows.node
    load_w = quantile(*moments(rows, loads), rows.z, instance.growth)
    broken = kept[(load_w > rows.limit_w[:, None]).any(1)]
    extra = _outdone(network, stands_for, broken)
    return _assemble(instance, network, np.union1d(row, extra)) if len(extra) else rows


def _assemble(instance: Instance, network: Network, row: IntArray) -> Rows:
    """Constraints of the given rows; rows without a finite limit are left out."""
    nodes = len(instance.node_parent)
    intact = row < nodes
    limit_w = np.where(intact, instance.limit_base_w[row % nodes], instance.limit_n1_w[row % nodes])
    z = np.where(intact, instance.z_base, instance.z_n1)
    finite = np.isfinite(limit_w)
    row, limit_w, z = row[finite], limit_w[finite], z[finite]
    entries = _coefficients(network, row)
    keep = _distinct(entries, limit_w, z)
    entries = entries.some(keep[entries.row])
    entries = Entries((np.cumsum(keep) - 1)[entries.row], entries.way, entries.fraction)
    return make_rows(network, row[keep], (limit_w[keep], z[keep]), entries)


def _coefficients(network: Network, row: IntArray) -> Entries:
    """Entries of the given rows: the intact fraction, or the one after the loss if it differs."""
    nodes, intact, lost = network.changed.shape[1], network.intact, network.lost
    start = np.searchsorted(intact.row, np.arange(nodes + 1))
    length = np.diff(start)[row % nodes]
    first = np.cumsum(length) - length
    at = np.arange(length.sum()) + np.repeat(start[row % nodes] - first, length)
    slot = np.full(network.changed.size, -1)
    slot[row] = np.arange(len(row))
    kept = slot[lost.row] >= 0
    index = np.concatenate([np.repeat(np.arange(len(row)), length), slot[lost.row[kept]]])
    way = np.concatenate([intact.way[at], lost.way[kept]])
    fraction = np.concatenate([intact.fraction[at], network.gain[kept]])
    key, where = np.unique(index * network.count + way, return_inverse=True)
    total = np.stack([tally(where, side, len(key)) for side in fraction.T], axis=1)
    used = (np.abs(total) > EQUAL).any(1)
    return Entries(key[used] // network.count, key[used] % network.count, total[used])


def _distinct(entries: Entries, limit_w: FloatArray, z: FloatArray) -> BoolArray:
    """[rows] without those whose load is that of a row with the same z and a lower limit.

    Loads are compared at two arbitrary states of the room.
    """
    way = entries.way + 1.0
    states = (np.sqrt(way), np.sqrt(2 * way)), (1 + np.sin(way), 2 + np.cos(way))
    loads = [tally(entries.row, (entries.fraction.T * state).sum(0), len(z)) for state in states]
    key = np.stack([z, *np.round(loads, 7)])
    order = np.lexsort((limit_w, *key))
    again = (key[:, order[1:]] == key[:, order[:-1]]).all(0)
    keep = np.ones(len(z), bool)
    keep[order[1:][again]] = False
    return keep


def _needed(instance: Instance, network: Network, stands_for: IntArray) -> IntArray:
    """Rows that can bind while nothing is broken yet.

    Where a loss adds no load the intact row is stricter, unless the margin or the limit after a
    loss is: then an unchanged row is kept once for the node.
    """
    keep = np.zeros(network.changed.size, bool)
    keep[network.lost.row[(network.gain > EQUAL).any(1)]] = True
    keep &= stands_for == np.arange(keep.size)
    stricter = (instance.z_n1 > instance.z_base) | (instance.limit_n1_w < instance.limit_base_w)
    keep[_without_gain(network, np.flatnonzero(stricter))] = True
    keep[np.unique(network.intact.row)] = True
    return np.flatnonzero(keep)


def _outdone(network: Network, stands_for: IntArray, broken: IntArray) -> IntArray:
    """Rows that broken rows would stand for."""
    weaker = np.flatnonzero(np.isin(stands_for, broken))
    nodes = network.changed.shape[1]
    return np.union1d(weaker, _without_gain(network, broken[broken < nodes]))


def _without_gain(network: Network, nodes: IntArray) -> IntArray:
    """Of each node one row that a loss leaves alone, and all rows that a loss changes."""
    count = network.changed.shape[1]
    once = nodes[network.same[:, nodes].any(0)]
    case, index = np.nonzero(network.changed[:, nodes])
    return np.concatenate(
        [network.same[:, once].argmax(0) * count + once, case * count + nodes[index]]
    )


def _monotone(instance: Instance) -> bool:
    """Whether more of a server on a node always means more load there."""
    watts = (instance.server_idle_w, instance.server_eff, instance.wl_w, instance.wl_factor_w)
    return all(float(array.min(initial=0)) >= 0 for array in watts)


def _dominator(instance: Instance, network: Network) -> IntArray:
    """[(1+K) N] the row that makes a row redundant (the same node, its feed lost), or itself."""
    nodes, itself = len(instance.node_parent), np.arange(network.changed.size)
    lost, gain = network.lost, network.gain
    if not _monotone(instance) or not len(gain):
        return itself
    feed_row = (_feed_case(instance)[:, None] * nodes + np.arange(nodes)).ravel()
    key = lost.row * network.count + lost.way  # ascending
    wanted = feed_row[lost.row] * network.count + lost.way
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    of_feed = np.where((key[at] == wanted)[:, None], gain[at], 0.0)
    stronger = np.zeros(len(itself), bool)
    stronger[lost.row[(of_feed < gain - EQUAL).any(1)]] = True
    loses = np.zeros(len(itself), bool)
    loses[lost.row[(gain < -EQUAL).any(1)]] = True
    redundant = network.changed.ravel() & ~stronger & ~loses[feed_row]
    return np.where(redundant, feed_row, itself)


def _feed_case(instance: Instance) -> IntArray:
    """[1+K] the case in which the feed above a case's lost node is lost; its own if not listed."""
    case_of = {int(node): 1 + j for j, node in enumerate(instance.contingency)}
    out = np.arange(1 + len(instance.contingency))
    for node, case in case_of.items():
        top = node
        while instance.node_parent[top] >= 0:
            top = int(instance.node_parent[top])
        out[case] = case_of.get(top, case)
    return out
