"""Operate the site hour by hour, blind to prices or not, and count money, carbon and moves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import Loads, server_loads
from wattcast_coordinator.economy.deferral import Slot, starts
from wattcast_coordinator.economy.demand import Demand, entry_per_kw
from wattcast_coordinator.economy.placement import feed_shares, worthwhile
from wattcast_coordinator.economy.values import Values, ahead
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray
from wattcast_tools.price.market import Market
from wattcast_tools.price.site import FIXED, SPOT, Piece, Site

AHEAD = 24  # hours that decisions look at
CONTRACT_HOURS = 28 * 24  # whose mean price the fixed contract has; not operated
_PUBLISHED_AT = 12  # hour (UTC) from which on the next day's prices are known
_GRAMS_A_TONNE = 1e6
_MONTH = 28 * 24  # hours that a demand charge is paid for


@dataclass(frozen=True, slots=True)
class Way:
    """A way of operation.

    Attributes:
        when: deferrable work waits for cheap hours.
        where: workloads move between the meters.
        published: the next day's prices are known from noon on, as day-ahead markets publish
            them; else nothing is known but the past, and yesterday's hours stand in.
    """

    when: bool = False
    where: bool = False
    published: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """What money is paid for.

    Attributes:
        carbon_per_t: money a tonne.
        demand_per_kw: a month's peak hour, of each meter.
        disruption: money that a move of cost 1 is worth avoiding.
    """

    carbon_per_t: float
    demand_per_kw: float
    disruption: float


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run cost.

    Attributes:
        energy, demand, carbon: money.
        carbon_kg: emitted.
        moves: between meters.
        left_out: pieces of work that found no power to spare in their window; they do not run.
    """

    energy: float
    demand: float
    carbon: float
    carbon_kg: float
    kwh: float
    moves: int
    left_out: int

    @property
    def total(self) -> float:
        """Money."""
        return self.energy + self.demand + self.carbon


class Run:
    """One way of operation in one zone."""

    def __init__(self, site: Site, market: Market, terms: Terms, way: Way) -> None:
        self._site, self._market, self._terms, self._way = site, market, terms, way
        self._fixed = float(market.price_per_kwh[:CONTRACT_HOURS].mean())
        hours = len(market.price_per_kwh)
        self._load_w = np.zeros((2, hours + 48))  # of each meter, work of days ahead included
        self._placed = site.instance.wl_server
        self._shares = feed_shares(site.instance)
        self._moves = self._left_out = 0

    def bill(self) -> Bill:
        """Operate from the contract's month on."""
        market, hours = self._market, len(self._market.price_per_kwh)
        for hour in range(CONTRACT_HOURS, hours):
            room = self._site.at(hour, self._placed)
            if self._way.where:
                room = self._place(room, hour)
            for piece in self._site.pieces:
                if piece.begin == hour % 24:
                    self._start(piece, room, hour)
            self._load_w[:, hour] += self._metered_w(room)
        span = slice(CONTRACT_HOURS, hours)
        kwh = self._load_w[:, span] / 1000
        energy = kwh[0] @ market.price_per_kwh[span] + kwh[1].sum() * self._fixed
        grams = float(kwh.sum(axis=0) @ market.carbon_g[span])
        return Bill(
            float(energy),
            self._demand(kwh),
            grams * self._terms.carbon_per_t / _GRAMS_A_TONNE,
            grams / 1000,
            float(kwh.sum()),
            self._moves,
            self._left_out,
        )

    def _demand(self, kw: FloatArray) -> float:
        """A charge for four weeks and meter; the last ones count by their hours."""
        paid = 0.0
        for first in range(0, kw.shape[1], _MONTH):
            part = kw[:, first : first + _MONTH]
            paid += float(part.max(axis=1).sum()) * part.shape[1] / _MONTH
        return paid * self._terms.demand_per_kw

    def _place(self, room: Instance, hour: int) -> Instance:
        """At most one move an hour, as the live system does."""
        cost, entry = np.zeros((4, AHEAD)), np.zeros(4)
        for meter, feeds in enumerate((SPOT, FIXED)):
            base_w = self._base_w(room, hour, meter) + self._load_w[meter, hour : hour + AHEAD]
            so_far = Demand(peak_w=self._peak_w(meter, hour))
            cost[list(feeds)] = np.maximum(self._costs(hour)[meter], 0)
            entry[list(feeds)] = entry_per_kw(so_far, base_w.max(), self._terms.demand_per_kw)
        found = worthwhile(self._reserved(room), cost, 3600.0, self._terms.disruption, entry)
        if found is None:
            return room
        self._placed = self._placed.copy()
        self._placed[found.workload] = found.server
        self._moves += 1
        return self._site.at(hour, self._placed)

    def _reserved(self, room: Instance) -> Instance:
        """With the power of all deferrable work kept free on the market's feeds."""
        work_w = sum(piece.power_w for piece in self._site.pieces)
        less_w = np.where(np.isin(np.arange(4), SPOT), work_w, 0.0)
        return replace(
            room, limit_base_w=room.limit_base_w - less_w, limit_n1_w=room.limit_n1_w - less_w
        )

    def _start(self, piece: Piece, room: Instance, hour: int) -> None:
        """Add the load of a piece of work where it runs: at once if blind, else when cheapest."""
        window = min(piece.window, AHEAD, len(self._market.price_per_kwh) - hour)
        if window < piece.hours:
            return
        base_w = self._load_w[0, hour : hour + AHEAD] + self._base_w(room, hour, 0)
        (found,) = starts(
            [Slot("work", 0, window - 1, piece.hours, piece.power_w)],
            cost_per_kwh=self._costs(hour)[0] if self._way.when else np.zeros(AHEAD),
            spare_w=self._spare_w(room, hour),
            base_w=base_w,
            peak_w=max(self._peak_w(0, hour), float(base_w.max())),
            charge_per_kw=self._terms.demand_per_kw if self._way.when else 0.0,
            step_s=3600.0,
        )
        if found.step is None:
            self._left_out += 1
            return
        begin = hour + found.step
        self._load_w[0, begin : begin + piece.hours] += piece.power_w

    def _spare_w(self, room: Instance, hour: int) -> FloatArray:
        """[AHEAD] watts before the limit of the market's feeds, after the worst loss."""
        loads = Loads(room)
        over_w = loads.evaluate().max(2) - loads.limits()
        left_w = float(-over_w[:, list(SPOT)].max())
        planned_w = self._load_w[0, hour : hour + AHEAD]
        return np.asarray(left_w - planned_w)

    def _peak_w(self, meter: int, hour: int) -> float:
        """Highest hour since the charge was paid last."""
        return float(self._load_w[meter, hour - hour % _MONTH : hour].max(initial=0.0))

    def _base_w(self, room: Instance, hour: int, meter: int) -> FloatArray:
        """[AHEAD] load of a meter if nothing moves, without deferrable work."""
        now_w = self._metered_w(room)[meter]
        feeds = list((SPOT, FIXED)[meter])
        day = self._site.day
        ratio = day[(hour + np.arange(AHEAD)) % 24] / day[hour % 24]
        idle_w = float((self._shares[:, feeds].sum(axis=1) * room.server_idle_w).sum())
        return np.asarray(idle_w + (now_w - idle_w) * ratio)

    def _costs(self, hour: int) -> FloatArray:
        """[meter, AHEAD] money a kWh with carbon, as far as it is known at the hour's begin."""
        known = hour + 1
        if self._way.published:
            days = 2 if hour % 24 >= _PUBLISHED_AT else 1
            known = min((hour // 24 + days) * 24, len(self._market.price_per_kwh))
        spot = self._ahead(self._market.price_per_kwh, hour, known)
        carbon = self._ahead(self._market.carbon_g, hour, hour + 1)
        carbon *= self._terms.carbon_per_t / _GRAMS_A_TONNE
        return np.stack([spot + carbon, np.full(AHEAD, self._fixed) + carbon])

    def _ahead(self, series: FloatArray, hour: int, known: int) -> FloatArray:
        """[AHEAD] known values, else those of the same hour of the newest day known."""
        first = max(0, hour - 48)
        at_s = tuple(3600.0 * k for k in range(first, known))
        values = Values(at_s, tuple(series[first:known].tolist()), 3600.0)
        return np.array(ahead(values, 3600.0 * hour, 3600.0, AHEAD, float(series[hour])).value)

    def _metered_w(self, room: Instance) -> FloatArray:
        """[meter] present load."""
        server_w = server_loads(room, room.wl_server).mean_w[:, 0]
        feed_w = server_w @ self._shares
        return np.array([feed_w[list(SPOT)].sum(), feed_w[list(FIXED)].sum()])


def compare(
    site: Site, market: Market, terms: Terms, ways: Sequence[tuple[str, Way]]
) -> dict[str, Bill]:
    """The bill of each way of operation."""
    return {name: Run(site, market, terms, way).bill() for name, way in ways}
