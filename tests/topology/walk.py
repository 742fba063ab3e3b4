"""The naive walk (one server, one cord, one node at a time, plain Python) and random networks."""

import numpy as np

from wattcast_coordinator.topology.network import Network


def sources(network, node):
    """Sources of a node in the order in which it takes them."""
    pair = [int(network.parent[node]), int(network.alt[node])]
    if network.alt[node] >= 0 and network.source[node] == 1:
        pair.reverse()
    return [source for source in pair if source >= 0]


def is_live(network, dead, node):
    if node in dead:
        return False
    above = sources(network, node)
    return not above or any(is_live(network, dead, source) for source in above)


def way_up(network, dead, node):
    out = [node]
    while above := sources(network, node):
        node = next((s for s in above if is_live(network, dead, s)), above[-1])
        out.append(node)
    return out


def cord_fractions(network, dead, server):
    cords = [int(c) for c in network.cord[server]]
    live = [c >= 0 and is_live(network, dead, c) for c in cords]
    if sum(live) < network.needed[server] or not any(live):
        return {}
    weight = [s if up else 0.0 for s, up in zip(network.share[server], live, strict=True)]
    if sum(weight) < 1e-9:
        weight = [float(up) for up in live]
    return {i: w / sum(weight) for i, w in enumerate(weight) if w > 0}


def node_fractions(network, dead):
    """[N,S] share of each server's power through each node."""
    out = np.zeros((len(network), len(network.cord)))
    for server in range(len(network.cord)):
        for cord, share in cord_fractions(network, dead, server).items():
            for node in way_up(network, dead, int(network.cord[server, cord])):
                out[node, server] += share
    return out


def loads(network, dead, mean_w, factor_w, variance):
    """[N,H] means, [N,R] loadings and [N] variances."""
    share = node_fractions(network, dead)
    return share @ mean_w, share @ factor_w, share**2 @ variance


def random_network(rng, servers=10, *, many=True, tangled=True):
    """A few roots, boards with two sources, panels, rack PDUs, phases, rack ATS.

    Args:
        many: servers with up to 8 cords of which several are needed.
        tangled: boards with a second source, and cords that may meet on one feed.
    """
    parent, alt = [], []

    def add(up, other=-1):
        parent.append(up)
        alt.append(other)
        return len(parent) - 1

    roots = [add(-1) for _ in range(int(rng.integers(2, 5)))]
    if tangled:
        spare = [add(-1) for _ in range(int(rng.integers(0, 3)))]
        feeds = [
            add(r, int(rng.choice(spare)) if spare and rng.random() < 0.6 else -1) for r in roots
        ]
    else:
        feeds = roots
    panels = [add(f) for f in feeds for _ in range(2)]
    pdus = [add(p) for p in panels for _ in range(2)]
    phases = [add(p) for p in pdus for _ in range(3)]
    feed_of = np.repeat(np.arange(len(feeds)), len(phases) // len(feeds))
    ats = []
    for _ in range(3):
        a, b = _apart(rng, feed_of, 2)
        ats.append(add(phases[a], phases[b]))
    cord = np.full((servers, 8 if many else 2), -1)
    for server in range(servers):
        count = int(rng.integers(1, 9 if many and rng.random() < 0.3 else 3))
        if count == 1:
            cord[server, 0] = rng.choice([*phases, *ats])
        elif count == 2 and not tangled:
            cord[server, :2] = [phases[i] for i in _apart(rng, feed_of, 2)]
        else:
            cord[server, :count] = rng.choice(phases, count, replace=False)
    used = cord >= 0
    share = np.where(used, rng.uniform(0.2, 1.0, cord.shape), 0.0)
    standby = (rng.random(servers) < 0.15) & (used.sum(1) == 2)
    share[standby, :2] = (1.0, 0.0)
    share /= share.sum(1, keepdims=True)
    needed = np.ones(servers, np.int64)
    if many:
        needed = rng.integers(1, np.maximum(used.sum(1), 1) + 1)
    switch = np.array(alt) >= 0
    source = np.where(switch, rng.integers(0, 2, len(alt)), 0)
    return Network(np.array(parent), np.array(alt), source, cord, share, needed)


def _apart(rng, feed_of, count):
    """Phases of different feeds."""
    chosen = rng.choice(np.unique(feed_of), count, replace=False)
    return [int(rng.choice(np.flatnonzero(feed_of == f))) for f in chosen]


def random_loads(rng, servers, steps=4, factors=3):
    mean_w = rng.uniform(50, 500, (servers, steps))
    factor_w = np.abs(rng.normal(0, 20, (servers, factors)))
    return mean_w, factor_w, rng.uniform(1, 400, servers)
