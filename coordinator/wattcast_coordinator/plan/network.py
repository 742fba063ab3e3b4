"""The room traced in all cases, for the present feeding and with each ATS on its other source."""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.aggregate.routes import behind_ats, tally, trace
from wattcast_coordinator.plan.ways import Entries, Ways, probes, ways_of
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray

EQUAL = 1e-12  # fractions closer than this are the same


@dataclass(frozen=True, slots=True)
class Network:
    """All fractions of power through all nodes in all cases; rows are case * N + node.

    Attributes:
        ways: how servers are fed at present; their ways come first.
        other: [S] a server's way when its ATS stands on the other source, else its own.
        count: number of ways, flipped ones included.
        ats: nodes that may be transferred; ats_servers: the servers behind each.
        intact: entries of the intact room.
        lost: entries of the losses that differ from the intact ones.
        gain: [entries, 2] by how much.
        changed: [1+K, N] rows whose load a loss changes.
        same: [1+K, N] rows of losses that leave a live node's load as it is.
    """

    ways: Ways
    other: IntArray
    count: int
    ats: IntArray
    ats_servers: tuple[IntArray, ...]
    intact: Entries
    lost: Entries
    gain: FloatArray
    changed: BoolArray
    same: BoolArray


def trace_network(instance: Instance) -> Network:
    """Trace the probes of every way in every case."""
    ways = ways_of(instance)
    probe, count = probes(instance, ways), len(ways.cord)
    ats, groups = _transferable(instance)
    behind = np.unique(ways.of[np.concatenate([np.zeros(0, np.int64), *groups])])
    other = np.arange(count)
    other[behind] = count + np.arange(len(behind))
    source = instance.ats_source.copy()
    source[ats] = 1 - source[ats]
    present = trace(probe, instance.ats_source)
    flipped = trace(probe, source, (2 * behind[:, None] + np.arange(2)).ravel())
    column = (2 * other[:, None] + np.arange(2)).ravel()
    total = count + len(behind)
    intact, (fraction,) = _by_way(
        np.concatenate([present.node, flipped.node]),
        np.concatenate([present.server, column[flipped.server]]),
        [np.concatenate([present.fraction, flipped.fraction])],
    )
    lost, (after, before) = _by_way(
        np.concatenate([present.lost_row, flipped.lost_row]),
        np.concatenate([present.lost_server, column[flipped.lost_server]]),
        [
            np.concatenate([present.lost_fraction, flipped.lost_fraction]),
            np.concatenate([present.lost_before, flipped.lost_before]),
        ],
    )
    gain = after - before
    changed = np.zeros_like(present.live)
    changed.ravel()[lost[0][(np.abs(gain) > EQUAL).any(1)]] = True
    same: BoolArray = np.logical_and(present.live, ~changed)
    same[0] = False
    return Network(
        ways,
        other[ways.of],
        total,
        ats,
        groups,
        Entries(*intact, fraction),
        Entries(*lost, after),
        gain,
        changed,
        same,
    )


def _transferable(instance: Instance) -> tuple[IntArray, tuple[IntArray, ...]]:
    """ATS with a finite price whose servers hang on no other such ATS, and those servers."""
    ats = np.flatnonzero(instance.node_alt >= 0)
    behind = behind_ats(instance, ats)
    single = behind.sum(0) == 1
    alone = np.array([row.any() and bool(single[row].all()) for row in behind], bool)
    keep = alone & np.isfinite(instance.ats_cost[ats])
    ats, behind = ats[keep], behind[keep]
    if instance.max_ats < 1:
        return ats[:0], ()
    return ats, tuple(np.flatnonzero(row) for row in behind)


def _by_way(
    row: IntArray, column: IntArray, values: list[FloatArray]
) -> tuple[tuple[IntArray, IntArray], list[FloatArray]]:
    """(row, way) of traced entries, sorted, and both probes' values there."""
    ways = int(column.max(initial=-1)) // 2 + 1
    key, where = np.unique(row * ways + column // 2, return_inverse=True)
    slot = 2 * where + column % 2
    fractions = [tally(slot, value, 2 * len(key)).reshape(-1, 2) for value in values]
    return (key // ways, key % ways), fractions
