"""The study's room: servers of tenants on pairs of feeds, filled up one by one."""

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from wattcast_coordinator.aggregate.routes import trace
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray
from wattcast_tools.capacity.pool import IDLE_W, RANGE_W, Pool

STEP_S = 300.0
HORIZON = 12
RACK = 20  # servers
PER_SERVER = 2  # workloads
TENANT = 8  # neighbouring machines of the recording that one tenant's rack repeats
MOST = 2000  # servers that a seed lays out
_MOVABLE = 0.6
_SINGLE = 1 / 8  # servers with one cord, behind the transfer switch of their pair of feeds
_SIZE = (0.15, 0.4)  # of a workload, share of a server
_CRIT_COST = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0])
_FEED, _ATS = 0, 4


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """A room of so many servers.

    Attributes:
        instance: everything but the workloads' watts.
        machine: [W] of the pool, whose use each workload follows.
        full_w: [W] watts at that machine's full use.
        tenant: [W] who its rack belongs to.
        limit_w: of every feed, intact and after a loss.
    """

    instance: Instance
    machine: IntArray
    full_w: FloatArray
    tenant: IntArray
    limit_w: float

    def watts(self, use: FloatArray) -> FloatArray:
        """[W, ...] of the workloads when the pool's machines are used so [machine, ...]."""
        shape = (-1,) + (1,) * (use.ndim - 1)
        return np.asarray(self.full_w.reshape(shape) * use[self.machine])


@dataclass(frozen=True, slots=True)
class Plot:
    """What a room is built on: seed, number and limit of feeds, and how racks are let.

    Attributes:
        mixed: every server any tenant's, instead of each rack one tenant's.
    """

    seed: int
    feeds: int = 6
    limit_w: float = 15_000.0
    mixed: bool = False


def build(pool: Pool, plot: Plot, servers: int) -> Room:
    """The first ``servers`` of a plot: every pair of feeds gets the next one in turn."""
    rng = np.random.default_rng(plot.seed)
    pairs = np.array(list(itertools.combinations(range(plot.feeds), 2)))
    index = np.arange(servers)
    pair, place = index % len(pairs), index // len(pairs)
    rack = pair + len(pairs) * (place // RACK)
    tenants = rng.integers(0, len(pool.use), len(pairs) * (1 + MOST // len(pairs) // RACK))
    drawn: dict[str, Any] = {
        "size": rng.uniform(*_SIZE, (MOST, PER_SERVER)),
        "any": rng.integers(0, len(pool.use), (MOST, PER_SERVER)),
        "movable": rng.random((MOST, PER_SERVER)) < _MOVABLE,
        "state_gib": rng.uniform(4, 16, (MOST, PER_SERVER)),
        "crit": rng.integers(1, 6, (MOST, PER_SERVER)),
        "single": rng.random(MOST) < _SINGLE,
        "share": rng.uniform(0.35, 0.65, MOST),
    }
    here = {name: values[:servers] for name, values in drawn.items()}
    nth = (place % RACK)[:, None] * PER_SERVER + np.arange(PER_SERVER)
    machine = (tenants[rack][:, None] + nth % TENANT) % len(pool.use)
    return Room(
        _instance(plot, pairs, pair, rack, here),
        (here["any"] if plot.mixed else machine).ravel(),
        RANGE_W * here["size"].ravel(),
        np.repeat(tenants[rack], PER_SERVER),
        plot.limit_w,
    )


def _instance(
    plot: Plot, pairs: IntArray, pair: IntArray, rack: IntArray, here: dict[str, Any]
) -> Instance:
    servers, feeds, count = len(pair), plot.feeds, len(pair) * PER_SERVER
    ats = feeds + pair
    single = here["single"].astype(bool)
    none = np.full(feeds, -1)
    crit = here["crit"].astype(np.int64).ravel()
    disturbed = _CRIT_COST[crit].reshape(servers, PER_SERVER).sum(axis=1) * single
    transfer = 2.0 + np.bincount(pair, disturbed, len(pairs))
    # A rating no load of the study reaches: the feeds are what binds.
    limit_w = np.concatenate([np.full(feeds, plot.limit_w), np.full(len(pairs), 1e9)])
    return Instance(
        node_parent=np.concatenate([none, pairs[:, 0]]),
        node_alt=np.concatenate([none, pairs[:, 1]]),
        node_kind=np.repeat([_FEED, _ATS], [feeds, len(pairs)]),
        ats_source=np.concatenate([none * 0, np.arange(len(pairs)) % 2]),
        limit_base_w=limit_w,
        limit_n1_w=limit_w,
        price_per_kwh=np.zeros(feeds + len(pairs)),
        ats_cost=np.concatenate([np.zeros(feeds), transfer]),
        server_cord=np.where(single[:, None], np.stack([ats, 0 * ats - 1], 1), pairs[pair]),
        server_share=np.where(
            single[:, None], (1.0, 0.0), np.stack([here["share"], 1 - here["share"]], 1)
        ),
        server_idle_w=np.full(servers, IDLE_W),
        server_eff=np.ones(servers),
        server_cpu=np.ones(servers),
        server_mem=np.full(servers, 64.0 * PER_SERVER * 2),
        server_rack=rack,
        wl_server=np.repeat(np.arange(servers), PER_SERVER),
        wl_cpu=here["size"].ravel(),
        wl_mem=np.full(count, 64.0),
        wl_crit=crit,
        wl_anti=np.full(count, -1),
        wl_quorum=np.full(count, -1),
        wl_movable=here["movable"].astype(bool).ravel(),
        wl_state_gib=here["state_gib"].ravel(),
        wl_bw_mibs=np.full(count, 256.0),
        wl_w=np.zeros((count, HORIZON)),
        wl_sigma_w=np.zeros(count),
        wl_factor_w=np.zeros((count, 1)),
        growth=np.ones(HORIZON),
        contingency=np.arange(feeds),
        step_s=STEP_S,
        z_base=0.0,
        z_n1=0.0,
        double_run=1.0,
        lead_s=STEP_S,
        setup_s=20.0,
        max_moves=24,
        max_ats=2,
        max_parallel=8,
        max_parallel_server=2,
        max_parallel_rack=6,
        crit_cost=_CRIT_COST,
    )


class Feeds:
    """Loads of all feeds, intact and after every loss, from the power of servers."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._fractions = lru_cache(maxsize=64)(self._traced)

    def fractions(self, ats_source: IntArray) -> FloatArray:
        """[(1 + K) * feeds, S] share of a server's power on each feed in each case."""
        return self._fractions(ats_source.tobytes())

    def _traced(self, positions: bytes) -> FloatArray:
        instance = self._room.instance
        routes = trace(instance, np.frombuffer(positions, np.int64))
        cases, nodes = routes.live.shape
        servers = len(instance.server_cord)
        dense = np.zeros((cases, nodes, servers))
        dense[:, routes.node, routes.server] = routes.fraction
        flat = dense.reshape(cases * nodes, servers)
        flat[routes.lost_row, routes.lost_server] += routes.lost_fraction - routes.lost_before
        feeds = int((instance.node_kind == _FEED).sum())
        return dense[:, :feeds].reshape(cases * feeds, servers)
