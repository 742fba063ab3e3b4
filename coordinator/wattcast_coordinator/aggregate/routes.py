"""Which share of a server's power runs through which node, intact and after every loss.

Cases: 0 is the intact room, case 1 + j has lost ``instance.contingency[j]``.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_coordinator.topology.network import levels
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Routes:
    """Sparse fractions of server power by case and node.

    Entries of the intact room list every server; entries of a loss only the servers whose path
    or shares it changes. All are sorted by (case, node, server); a node appears once a server,
    both cords added together.

    Attributes:
        node, server, fraction: the intact room's entries.
        lost_row: case * N + node of each changed entry (case >= 1).
        lost_server: its server.
        lost_fraction: fraction after the loss.
        lost_before: fraction of the same server and node in the intact room.
        live: [1+K, N] whether a node still has a source.
    """

    node: IntArray
    server: IntArray
    fraction: FloatArray
    lost_row: IntArray
    lost_server: IntArray
    lost_fraction: FloatArray
    lost_before: FloatArray
    live: BoolArray


def trace(instance: Instance, ats_source: IntArray, servers: IntArray | None = None) -> Routes:
    """Follow every cord up to its feed, in every case.

    Args:
        instance: the room.
        ats_source: [N] 0 = fed from the parent, 1 = from the alternative.
        servers: indices to trace; all if None.
    """
    parent, live, rerouted = _trees(instance, ats_source)
    who = np.arange(len(instance.server_cord)) if servers is None else servers
    cords = instance.server_cord[who]
    share = _fractions(cords, instance.server_share[who], live)
    intact = np.zeros(len(who), np.int64)
    key, (fraction,) = _merge(instance, [_walk(intact, who, cords, share[0], parent)])
    hit = _changed(cords, share, rerouted)
    case, index = np.nonzero(hit)
    case += 1
    new = _walk(case, who[index], cords[index], share[case, index], parent)
    old = _walk(
        case, who[index], cords[index], share[0, index], np.broadcast_to(parent[0], parent.shape)
    )
    lost, (after, before) = _merge(instance, [new, old])
    count = len(instance.server_cord)
    return Routes(
        key // count,
        key % count,
        fraction,
        lost // count,
        lost % count,
        after,
        before,
        live,
    )


def tally(index: IntArray, values: FloatArray, count: int) -> FloatArray:
    """[count] values added up by index."""
    return np.asarray(np.bincount(index, values, count), np.float64)


def _trees(instance: Instance, ats_source: IntArray) -> tuple[IntArray, BoolArray, BoolArray]:
    """Effective parent, liveness, and whether the way up differs from the intact one, [1+K, N]."""
    cases = 1 + len(instance.contingency)
    count = len(instance.node_parent)
    parent = np.tile(instance.node_parent, (cases, 1))
    live = np.ones((cases, count), bool)
    live[np.arange(1, cases), instance.contingency] = False
    rerouted = np.zeros((cases, count), bool)
    for nodes in levels(instance.node_parent, instance.node_alt):
        ats = nodes[instance.node_alt[nodes] >= 0]
        pair = np.stack([instance.node_parent[ats], instance.node_alt[ats]])
        first = np.take_along_axis(pair, ats_source[None, ats], 0)[0]
        other = np.take_along_axis(pair, 1 - ats_source[None, ats], 0)[0]
        parent[:, ats] = np.where(live[:, first], first, other)
        fed = parent[:, nodes]
        rows = np.arange(cases)[:, None]
        live[:, nodes] &= live[rows, fed] | (fed < 0)
        rerouted[:, nodes] = (fed != fed[0]) | (rerouted[rows, fed] & (fed >= 0))
    return parent, live, rerouted


def _fractions(cords: IntArray, shares: FloatArray, live: BoolArray) -> FloatArray:
    """[1+K, S, C] share of each cord when dead cords hand theirs to the live ones."""
    up = (cords >= 0) & live[:, cords]
    weight = shares * up
    standby = (weight.sum(2) < 1e-9) & up.any(2)
    weight = np.where(standby[..., None], up, weight)
    total = weight.sum(2, keepdims=True)
    out: FloatArray = np.zeros(weight.shape)
    np.divide(weight, total, out=out, where=total > 0)
    return out


def _changed(cords: IntArray, share: FloatArray, rerouted: BoolArray) -> BoolArray:
    """[K, S] whether a loss touches a server's shares or paths."""
    other_share = (np.abs(share[1:] - share[0]) > 1e-12).any(2)
    return np.asarray(other_share | (rerouted[1:, cords] & (cords >= 0)).any(2))


def _walk(
    case: IntArray, server: IntArray, cords: IntArray, share: FloatArray, parent: IntArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """(case, node, server, fraction) of every node on every live cord's way up."""
    steps = []
    for cord in range(cords.shape[1]):
        used = share[:, cord] > 0
        at, on, who, part = cords[used, cord], case[used], server[used], share[used, cord]
        while len(at):
            steps.append((on, at, who, part))
            at = parent[on, at]
            up = at >= 0
            at, on, who, part = at[up], on[up], who[up], part[up]
    if not steps:
        none = np.zeros(0, np.int64)
        return none, none, none, np.zeros(0)
    on, at, who, part = (np.concatenate(column) for column in zip(*steps, strict=True))
    return on, at, who, part


def _merge(
    instance: Instance, walks: list[tuple[IntArray, IntArray, IntArray, FloatArray]]
) -> tuple[IntArray, list[FloatArray]]:
    """Sorted (case, node, server) keys of several walks, and each walk's fraction there."""
    nodes, servers = len(instance.node_parent), len(instance.server_cord)
    keys = [(case * nodes + node) * servers + server for case, node, server, _ in walks]
    key, where = np.unique(np.concatenate(keys), return_inverse=True)
    ends = np.cumsum([0, *map(len, keys)])
    sums = [
        tally(where[a:b], walk[3], len(key))
        for a, b, walk in zip(ends[:-1], ends[1:], walks, strict=True)
    ]
    return np.asarray(key), sums
