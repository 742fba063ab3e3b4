"""How many servers fit without ever moving anything: nameplates, peaks, and the best placement."""

import numpy as np

from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray
from wattcast_tools.capacity.pool import IDLE_W, RANGE_W, Pool
from wattcast_tools.capacity.room import PER_SERVER, Feeds, Plot, Room

_TRIES = 4
_EXCHANGES = 600
_BUSIEST = 150  # steps of highest total, and
_OWN = 20  # of every rack, that a search looks at


def nameplate(pool: Pool, room: Room) -> float:
    """Highest load of a feed, share of its limit, at every server's full power."""
    del pool
    servers = len(room.instance.server_cord)
    return _worst(room, np.full((servers, 1), IDLE_W + RANGE_W))


def peaks(pool: Pool, room: Room, steps: range) -> float:
    """The same at every server's own highest power in ``steps``, as if all came at once."""
    return _worst(room, servers_w(pool, room, steps).max(axis=1, keepdims=True))


def delivered(pool: Pool, room: Room, steps: range) -> float:
    """The same for what came in ``steps``, everything where it was delivered."""
    return _worst(room, servers_w(pool, room, steps))


def balanced(pool: Pool, room: Room, plot: Plot, steps: range) -> float:
    """What no placement can get below: the total on all feeds but one, evenly."""
    total_w = servers_w(pool, room, steps).sum(axis=0).max()
    return float(total_w / (plot.feeds - 1) / room.limit_w)


def best(pool: Pool, room: Room, plot: Plot, steps: range, rng: np.random.Generator) -> float:
    """The same for the best choice found, knowing ``steps``, of who is installed where.

    Full racks exchange their places, in a mixed room single servers do: what could have been done
    at installation.
    """
    power_w = servers_w(pool, room, steps)
    share = Feeds(room).fractions(room.instance.ats_source)
    rack = np.unique(room.instance.server_rack, return_inverse=True)[1]
    unit = np.arange(len(rack)) if plot.mixed else rack
    members = [np.flatnonzero(unit == k) for k in range(unit.max() + 1)]
    units_w = np.stack([power_w[m].sum(axis=0) for m in members])
    place = np.stack([share[:, m].mean(axis=1) for m in members], axis=1)
    size = np.bincount(unit)
    looked = _looked_at(units_w)
    lowest = _worst(room, power_w)
    for _ in range(_TRIES):
        at = _exchanged(units_w, place, size, looked, rng)
        moved_w = np.empty_like(power_w)
        for source, target in enumerate(at):
            moved_w[members[target]] = power_w[members[source]]
        lowest = min(lowest, _worst(room, moved_w))
    return lowest


def servers_w(pool: Pool, room: Room, steps: range) -> FloatArray:
    """[S, steps] power of every server as delivered."""
    watts = room.watts(pool.use[:, steps.start : steps.stop])
    return np.asarray(IDLE_W + watts.reshape(-1, PER_SERVER, watts.shape[1]).sum(axis=1))


def _looked_at(units_w: FloatArray) -> IntArray:
    total = np.argsort(-units_w.sum(axis=0))[:_BUSIEST]
    return np.unique(np.concatenate([total, np.argsort(-units_w, axis=1)[:, :_OWN].ravel()]))


def _exchanged(
    units_w: FloatArray,
    place: FloatArray,
    size: IntArray,
    looked: IntArray,
    rng: np.random.Generator,
) -> IntArray:
    """[unit] the place each takes, after exchanges that lower the highest load."""
    some_w = units_w[:, looked]
    at = np.arange(len(units_w))
    for kind in np.unique(size):
        same = np.flatnonzero(size == kind)
        at[same] = rng.permutation(same)
    load_w = place[:, at] @ some_w
    for _ in range(_EXCHANGES):
        row, step = np.unravel_index(int(load_w.argmax()), load_w.shape)
        weight = place[row, at] * some_w[:, step]
        one = int(rng.choice(len(at), p=weight / weight.sum()))
        other = int(rng.choice(np.flatnonzero(size == size[one])))
        change = place[:, at[other]] - place[:, at[one]]
        tried_w = load_w + np.outer(change, some_w[one] - some_w[other])
        if tried_w.max() < load_w.max():
            load_w = tried_w
            at[[one, other]] = at[[other, one]]
    return at


def _worst(room: Room, power_w: FloatArray) -> float:
    share = Feeds(room).fractions(room.instance.ats_source)
    return float((share @ power_w).max() / room.limit_w)
