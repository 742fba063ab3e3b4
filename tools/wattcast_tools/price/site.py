"""A site with two utility meters: one at the market's price, one at a fixed one."""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

SPOT, FIXED = (0, 1), (2, 3)  # feeds behind each meter
SERVERS, PER_SERVER = 24, 2
_RACK = 6
_HEADROOM = 1.6  # limits over what feeds carry at the day's peak, after a loss
_CRIT_COST = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0])


@dataclass(frozen=True, slots=True)
class Piece:
    """Deferrable work of every day, on the market's meter.

    Attributes:
        begin: hour (UTC) its window opens; it lasts ``window`` hours.
        hours: that it runs.
    """

    begin: int
    window: int
    hours: int
    power_w: float


@dataclass(frozen=True, slots=True)
class Site:
    """Room and work.

    Attributes:
        instance: workloads' watts at the mean of the day.
        day: [24] their load by hour, over that mean.
        pieces: of deferrable work.
    """

    instance: Instance
    day: FloatArray
    pieces: tuple[Piece, ...]

    def at(self, hour: int, placed: IntArray) -> Instance:
        """The room in an hour (UTC) of the day."""
        watts = self.instance.wl_w * self.day[hour % 24]
        return replace(self.instance, wl_server=placed, wl_w=watts)


def build(seed: int) -> Site:
    """A room whose feeds could carry more than half more, and six pieces of work a day."""
    rng = np.random.default_rng(seed)
    count = SERVERS * PER_SERVER
    hours = np.arange(24)
    day = 1 + 0.15 * np.cos((hours - 14) / 24 * 2 * np.pi)
    rack = np.arange(SERVERS) // _RACK
    cord = np.where((rack % 2 == 0)[:, None], SPOT, FIXED)
    mean_w = rng.uniform(60, 150, count)
    instance = Instance(
        node_parent=np.full(4, -1),
        node_alt=np.full(4, -1),
        node_kind=np.zeros(4, np.int64),
        ats_source=np.zeros(4, np.int64),
        limit_base_w=np.full(4, np.inf),
        limit_n1_w=np.full(4, np.inf),
        price_per_kwh=np.zeros(4),
        ats_cost=np.zeros(4),
        server_cord=cord,
        server_share=np.full((SERVERS, 2), 0.5),
        server_idle_w=np.full(SERVERS, 90.0),
        server_eff=rng.uniform(0.95, 1.05, SERVERS),
        server_cpu=np.ones(SERVERS),
        server_mem=np.full(SERVERS, 512.0),
        server_rack=rack,
        wl_server=np.repeat(np.arange(SERVERS), PER_SERVER),
        wl_cpu=rng.uniform(0.15, 0.35, count),
        wl_mem=np.full(count, 64.0),
        wl_crit=rng.integers(1, 4, count),
        wl_anti=np.full(count, -1),
        wl_quorum=np.full(count, -1),
        wl_movable=rng.random(count) < 0.6,
        wl_state_gib=rng.uniform(2, 12, count),
        wl_bw_mibs=np.full(count, 128.0),
        wl_w=mean_w[:, None],
        wl_sigma_w=0.05 * mean_w,
        wl_factor_w=0.05 * mean_w[:, None],
        growth=np.ones(1),
        contingency=np.arange(4),
        step_s=3600.0,
        z_base=2.33,
        z_n1=1.28,
        double_run=1.0,
        lead_s=3600.0,
        setup_s=20.0,
        max_moves=6,
        max_ats=0,
        max_parallel=2,
        max_parallel_server=2,
        max_parallel_rack=2,
        crit_cost=_CRIT_COST,
    )
    return Site(_limited(instance, float(day.max())), day, _pieces(rng))


def _limited(instance: Instance, peak: float) -> Instance:
    from wattcast_coordinator.aggregate.loads import Loads

    load_w = Loads(replace(instance, wl_w=instance.wl_w * peak)).evaluate().max(2)
    limit_w = np.full(4, _HEADROOM * load_w.max())
    return replace(instance, limit_base_w=limit_w, limit_n1_w=limit_w)


def _pieces(rng: np.random.Generator) -> tuple[Piece, ...]:
    return tuple(
        Piece(
            int(rng.integers(0, 24)),
            int(rng.integers(10, 20)),
            int(rng.integers(1, 5)),
            float(rng.uniform(150, 450)),
        )
        for _ in range(6)
    )
