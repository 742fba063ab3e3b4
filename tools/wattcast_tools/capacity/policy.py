"""Ways of operation: what each knows when it decides, as a problem for the same planner.

All ask the live system's planner, may do the same actions in the same time, and aim a little below
the limit at which they act. They differ in what they know: the guard band the present, Wattcast its
forecasts, the oracle the future.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from wattcast_coordinator.aggregate.correlation import estimate
from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray
from wattcast_tools.capacity.foresight import Foresight
from wattcast_tools.capacity.pool import Pool
from wattcast_tools.capacity.room import HORIZON, Feeds, Room

SETTLE = 0.01  # plans aim so far below what triggers them, so that it does not flicker
NEAR = 2  # steps ahead that must be safe: what begins now is done in the next step
_PARTS = (6, NEAR)  # of the horizon: a plan for half an hour, else for what must be safe
_WINDOW = 64  # steps that correlations rest on
_ANEW = 12  # steps after which they are estimated again


@dataclass(frozen=True, slots=True)
class Placement:
    """Where workloads run and where the switches stand."""

    server: IntArray
    ats_source: IntArray


class Policy(Protocol):
    """A way of operation."""

    def problems(self, room: Room, feeds: Feeds, now: Placement, step: int) -> Sequence[Instance]:
        """Problems to solve after a step, the preferred one first; none while all is well."""


@dataclass(frozen=True, slots=True)
class GuardBand:
    """Reactive: acts when a present load, intact or after a loss, is within a band of its limit."""

    pool: Pool
    guard: float

    def problems(self, room: Room, feeds: Feeds, now: Placement, step: int) -> Sequence[Instance]:
        """The present, taken to last."""
        watts = room.watts(self.pool.use[:, step])
        lasting = replace(
            _placed(room, now), wl_w=np.repeat(watts[:, None], NEAR, axis=1), growth=np.ones(NEAR)
        )
        most = 1 - self.guard
        if worst(room, feeds, lasting) <= most:
            return ()
        return (_limited(lasting, most - SETTLE),)


@dataclass(frozen=True, slots=True)
class Predictive:
    """Wattcast: acts when a quantile of the forecast load exceeds its limit.

    Attributes:
        z: margin in standard deviations of the load.
    """

    pool: Pool
    foresight: Foresight
    z: float
    _correlations: dict[tuple[int, int], tuple[float, FloatArray]] = field(default_factory=dict)

    def problems(self, room: Room, feeds: Feeds, now: Placement, step: int) -> Sequence[Instance]:
        """The forecasts, with their correlation."""
        instance = self._instance(room, now, step)
        if worst(room, feeds, _cut(instance, NEAR)) <= 1:
            return ()
        return [_cut(_limited(instance, 1 - SETTLE), part) for part in _PARTS]

    def _instance(self, room: Room, now: Placement, step: int) -> Instance:
        sigma_w = room.watts(self.foresight.sigma[:, step])
        growth = sigma_w.sum(axis=0) / sigma_w.sum(axis=0).max()
        own_w = np.sqrt(((sigma_w / growth) ** 2).mean(axis=1))
        common, application = self._correlation(room, step)
        tenants, tenant = np.unique(room.tenant, return_inverse=True)
        factor_w = np.zeros((len(own_w), 1 + len(tenants)))
        factor_w[:, 0] = np.sqrt(common) * own_w
        factor_w[np.arange(len(own_w)), 1 + tenant] = np.sqrt(application[tenant]) * own_w
        rest = own_w**2 - (factor_w**2).sum(axis=1)
        return replace(
            _placed(room, now),
            wl_w=room.watts(self.foresight.mean[:, step]),
            wl_sigma_w=np.sqrt(np.maximum(rest, 0)),
            wl_factor_w=factor_w,
            growth=growth,
            z_base=self.z,
            z_n1=self.z,
        )

    def _correlation(self, room: Room, step: int) -> tuple[float, FloatArray]:
        """Of the last hours' increments, as the coordinator estimates it."""
        until = step // _ANEW * _ANEW + 1
        key = (len(room.machine), until)
        if key not in self._correlations:
            tenants, tenant = np.unique(room.tenant, return_inverse=True)
            names = [str(k) for k in range(len(room.machine))]
            recent = self.pool.use[:, max(0, until - _WINDOW) : until].tolist()
            by_name = {name: recent[m] for name, m in zip(names, room.machine, strict=True)}
            found = estimate(names, tenant, len(tenants), by_name)
            self._correlations.clear()
            self._correlations[key] = found.common, found.application
        return self._correlations[key]


@dataclass(frozen=True, slots=True)
class Oracle:
    """Knows every load of the next hour; acts as late as possible, for as long as possible."""

    pool: Pool

    def problems(self, room: Room, feeds: Feeds, now: Placement, step: int) -> Sequence[Instance]:
        """What will be."""
        ahead = np.minimum(np.arange(HORIZON) + step + 1, self.pool.use.shape[1] - 1)
        instance = replace(_placed(room, now), wl_w=room.watts(self.pool.use[:, ahead]))
        if worst(room, feeds, _cut(instance, NEAR)) <= 1:
            return ()
        return [_cut(instance, part) for part in (HORIZON, *_PARTS)]


def worst(room: Room, feeds: Feeds, instance: Instance) -> float:
    """Highest quantile load of any feed, case and step, as a share of the limit."""
    loads = server_loads(instance, instance.wl_server)
    share = feeds.fractions(instance.ats_source)
    variance = ((share @ loads.factor_w) ** 2).sum(axis=1) + share**2 @ loads.variance
    margin = instance.z_n1 * np.sqrt(variance)[:, None] * instance.growth
    return float((share @ loads.mean_w + margin).max() / room.limit_w)


def _placed(room: Room, now: Placement) -> Instance:
    return replace(room.instance, wl_server=now.server, ats_source=now.ats_source)


def _limited(instance: Instance, share: float) -> Instance:
    limit_w = instance.limit_n1_w * share
    return replace(instance, limit_base_w=limit_w, limit_n1_w=limit_w)


def _cut(instance: Instance, steps: int) -> Instance:
    return replace(instance, wl_w=instance.wl_w[:, :steps], growth=instance.growth[:steps])
