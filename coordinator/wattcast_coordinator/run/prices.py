"""What power costs at each feed, kept up to date beside the decision cycle."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from wattcast_configs.grid import CARBON, PRICE, Grid, Meter
from wattcast_coordinator.economy.demand import Demand, adder_per_kwh, entry_per_kw, noted
from wattcast_coordinator.economy.prices import MeterAhead, feed_costs, meter_cost, placing
from wattcast_coordinator.economy.values import FALLBACK, PUBLISHED, Ahead, Values, ahead
from wattcast_coordinator.grid.cache import Cache
from wattcast_coordinator.grid.choose import provider
from wattcast_core.units import FloatArray, epoch_s

_log = logging.getLogger(__name__)
HOURS = 24
_HOUR_S = 3600.0
_LOOK_REAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Money at feeds and meters, and what it rests on.

    Attributes:
        now: feed -> money a kWh over the horizon, as placement counts it (never negative).
        hourly: feed -> money a kWh in the coming hours.
        meters: meter -> money a kWh in the coming hours, as it is (it may be negative).
        entry: feed -> money a kW that a workload placed there for good costs at the month's peak.
        doubts: what is not known as it should be, for people.
    """

    now: Mapping[str, float] = field(default_factory=dict)
    hourly: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    meters: Mapping[str, FloatArray] = field(default_factory=dict)
    entry: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


class Prices:
    """Providers' caches and the meters' peaks of the month."""

    def __init__(self, grid: Grid, folder: Path, state_dir: Path) -> None:
        """Build the providers; relative files count from ``folder``.

        Raises:
            ConfigError: a series cannot be had as configured.
        """
        self.grid = grid
        self._dir = state_dir / "grid"
        self._caches = {
            s.id: Cache(
                provider(s, folder), self._dir / f"{s.id}.json", grid.refresh_real_s, s.factor
            )
            for s in grid.series
        }
        for cache in self._caches.values():
            cache.load()
        self.demand = {m.id: self._kept(m) for m in grid.meter}

    async def keep(self, now: Callable[[], datetime]) -> None:
        """Refresh whatever is due, for ever; one slow provider holds up no other."""
        while self._caches:
            await asyncio.gather(*(cache.refresh(now()) for cache in self._caches.values()))
            await asyncio.sleep(_LOOK_REAL_S)

    def note(self, at: datetime, feed_w: Mapping[str, float], step_s: float) -> None:
        """Enter the measured mean of the step that ends at ``at``; unknown loads are left out."""
        for meter in self.grid.meter:
            load_w = self._metered_w(meter, feed_w)
            if not np.isfinite(load_w):
                continue
            before = self.demand[meter.id]
            zone = ZoneInfo(meter.time_zone)
            after = noted(before, at, load_w, step_s, window_s=meter.demand_window_s, zone=zone)
            self.demand[meter.id] = after
            if after.peak_w != before.peak_w or after.month != before.month:
                self._keep(meter, after)

    def costs(
        self,
        at: datetime,
        feed_w: Mapping[str, float],
        peak_w: Mapping[str, float],
        horizon_s: float,
    ) -> Costs:
        """Money from ``at`` on.

        Args:
            at: data time.
            feed_w: present load of each feed.
            peak_w: highest expected load of each feed over the horizon.
            horizon_s: of placement.
        """
        hourly, near = {}, {}
        peaks: dict[str, float] = {}
        doubts: list[str] = []
        for meter in self.grid.meter:
            load_w = np.nan_to_num(self._metered_w(meter, feed_w))
            demand = adder_per_kwh(
                self.demand[meter.id],
                self._expected_w(meter, peak_w),
                meter.demand_charge_per_kw,
                horizon_s,
            )
            highest_w = max(float(load_w), self._expected_w(meter, peak_w))
            entry = entry_per_kw(self.demand[meter.id], highest_w, meter.demand_charge_per_kw)
            peaks |= dict.fromkeys(meter.feeds, entry)
            known = self._known(meter, at, load_w, _HOUR_S, HOURS, 0.0)
            hourly[meter.id] = meter_cost(self.grid, meter, known, _HOUR_S)
            soon = self._known(meter, at, load_w, horizon_s, 1, demand)
            near[meter.id] = meter_cost(self.grid, meter, soon, horizon_s)
            doubts += self._doubts(meter, soon)
        return Costs(
            now={k: placing(v) for k, v in feed_costs(self.grid.meter, near).items()},
            hourly={k: tuple(v) for k, v in feed_costs(self.grid.meter, hourly).items()},
            meters=hourly,
            entry=peaks,
            doubts=tuple(doubts),
        )

    def _known(
        self,
        meter: Meter,
        at: datetime,
        load_w: float,
        step_s: float,
        steps: int,
        demand: float,
    ) -> MeterAhead:
        def series(name: str, fallback: float) -> Ahead:
            known = self._usable(name) if name else Values()
            return ahead(known, epoch_s(at), step_s, steps, fallback)

        available = {
            s.id: np.array(series(s.available, 0.0).value)
            for s in self.grid.source
            if s.meter == meter.id and s.available
        }
        return MeterAhead(
            price=series(meter.price, meter.fallback_per_kwh),
            carbon=series(meter.carbon, meter.fallback_g_per_kwh),
            load_w=np.full(steps, load_w),
            available_w=available,
            demand_per_kwh=demand,
        )

    def _usable(self, name: str) -> Values:
        """What a series gave; nothing once its provider has failed for too long."""
        cache = self._caches[name]
        stale = cache.clock() - cache.fetched_real_s > self.grid.stale_real_s
        return Values() if stale else cache.known

    def _doubts(self, meter: Meter, known: MeterAhead) -> list[str]:
        out = []
        for quantity, name, ahead_ in (
            (PRICE, meter.price, known.price),
            (CARBON, meter.carbon, known.carbon),
        ):
            if name and ahead_.worst != PUBLISHED:
                instead = "the fallback" if ahead_.worst == FALLBACK else "that of an earlier day"
                why = self._caches[name].problem or "it has no value for now"
                out.append(f"meter {meter.id}: {quantity} '{name}': {why}; {instead} counts")
        return out

    def _expected_w(self, meter: Meter, peak_w: Mapping[str, float]) -> float:
        """Highest load expected of a meter; 0 where it is not known."""
        return float(np.nan_to_num(self._metered_w(meter, peak_w)))

    def _metered_w(self, meter: Meter, feed_w: Mapping[str, float]) -> float:
        """Load of a meter: its feeds' with their losses; NaN if one is not known."""
        return sum(
            feed_w.get(feed, float("nan")) / (1 - meter.losses.get(feed, 0.0))
            for feed in meter.feeds
        )

    def _kept(self, meter: Meter) -> Demand:
        try:
            return Demand(**json.loads(self._path(meter).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Demand()

    def _keep(self, meter: Meter, demand: Demand) -> None:
        part = self._path(meter).with_suffix(".part")
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(asdict(demand)), encoding="utf-8")
            part.replace(self._path(meter))
        except OSError as error:  # it stands in memory; a full disk stops nobody
            _log.warning("%s: the month's peak is not kept: %s", self._path(meter), error)

    def _path(self, meter: Meter) -> Path:
        return self._dir / f"{meter.id}.demand.json"
