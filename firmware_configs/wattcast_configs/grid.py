"""Meters, prices and carbon: what electricity costs at each meter, and from whom to know it.

A price belongs to a meter: feeds behind one meter pay the same and differ by their losses only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattcast_core.errors import ConfigError

PROVIDERS = ("electricity_maps", "uk_carbon", "entsoe", "gridstatus", "file", "tariff")
PRICE, CARBON, POWER = QUANTITIES = ("price", "carbon", "power")
UNITS = {  # factor to money a kWh, grams a kWh, watts
    PRICE: {"per_kwh": 1.0, "per_mwh": 1e-3, "ct_per_kwh": 1e-2},
    CARBON: {"g_per_kwh": 1.0, "kg_per_mwh": 1.0, "lb_per_mwh": 0.45359237},
    POWER: {"w": 1.0, "kw": 1e3},
}
SOURCES = ("pv", "battery", "generator")


@dataclass(frozen=True, slots=True)
class Band:
    """Hours of a tariff, in its time zone; the first band that fits counts.

    Attributes:
        days: first and last weekday, ``mon-fri``; empty = every day.
        begin, end: ``HH:MM``; an end at or before the begin is that of the next day.
    """

    price_per_kwh: float
    days: str = ""
    begin: str = "00:00"
    end: str = "24:00"


@dataclass(frozen=True, slots=True)
class Series:
    """Where a price, a carbon intensity or an available power comes from.

    Attributes:
        provider: one of PROVIDERS.
        quantity: ``price``, ``carbon`` or ``power``.
        zone: bidding zone, region or operator (``CAISO``, ``PJM``, ``ERCOT``), as the provider
            names it; of a tariff, its time zone (``Europe/Berlin``).
        location: pricing node or hub of a US operator.
        token: ``env:NAME`` or ``file:/path``; never the secret itself.
        file: CSV or Parquet, relative to the coordinator's file.
        time_column, column: of that file; times without an offset are UTC.
        unit: one of UNITS; empty = the provider's own.
        factor: what its values are multiplied with (an exchange rate).
        url: another endpoint than the provider's public one (a proxy or mirror).
        band: of a tariff.
    """

    id: str
    provider: str
    quantity: str
    zone: str = ""
    location: str = ""
    token: str = ""
    file: str = ""
    time_column: str = "t"
    column: str = ""
    unit: str = ""
    factor: float = 1.0
    url: str = ""
    band: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        place = f"grid series {self.id}"
        _one_of(self.provider, PROVIDERS, f"{place}: provider")
        _one_of(self.quantity, QUANTITIES, f"{place}: quantity")
        if self.unit:
            _one_of(self.unit, tuple(UNITS[self.quantity]), f"{place}: unit")
        if not 0 < self.factor < float("inf"):
            raise ConfigError(f"{place}: factor {self.factor:g}; give a number above 0")
        if self.provider == "file" and not (self.file and self.column and self.unit):
            raise ConfigError(f"{place}: give file, column and unit")
        if self.provider == "tariff" and not self.band:
            raise ConfigError(f"{place}: give at least one [[grid.series.band]]")


@dataclass(frozen=True, slots=True)
class Meter:
    """A utility meter.

    Attributes:
        feeds: what it pays for.
        price, carbon: ids of series; empty = not known.
        losses: feed -> share lost between meter and feed (UPS, transformer), 0 to 1.
        adder_per_kwh: fees and taxes on top of the price.
        fallback_per_kwh, fallback_g_per_kwh: what counts when the series cannot be had and no
            earlier day is known.
        demand_charge_per_kw: money a kW of the month's highest mean over ``demand_window_s``.
        time_zone: of the month.
    """

    id: str
    feeds: tuple[str, ...]
    price: str = ""
    carbon: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    adder_per_kwh: float = 0.0
    fallback_per_kwh: float = 0.2
    fallback_g_per_kwh: float = 300.0
    demand_charge_per_kw: float = 0.0
    demand_window_s: float = 900.0
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        place = f"grid meter {self.id}"
        for feed, loss in self.losses.items():
            _one_of(feed, self.feeds, f"{place}: losses")
            if not 0 <= loss < 1:
                raise ConfigError(f"{place}: losses.{feed} = {loss:g}; give a share from 0 to 1")
        if self.demand_charge_per_kw < 0 or self.demand_window_s <= 0:
            raise ConfigError(f"{place}: demand_charge_per_kw at least 0, demand_window_s above 0")


@dataclass(frozen=True, slots=True)
class Source:
    """Power beside the utility's, behind a meter.

    Attributes:
        kind: ``pv``, ``battery`` or ``generator``.
        limit_w: most it gives.
        price_per_kwh, carbon_g_per_kwh: of what it gives (PV: what feeding in would earn; a
            battery: what its charge has cost).
        available: id of a power series; empty = always ``limit_w``.
        energy_kwh: what a battery may give over the horizon.
    """

    id: str
    meter: str
    kind: str
    limit_w: float
    price_per_kwh: float = 0.0
    carbon_g_per_kwh: float = 0.0
    available: str = ""
    energy_kwh: float = float("inf")

    def __post_init__(self) -> None:
        _one_of(self.kind, SOURCES, f"grid source {self.id}: kind")
        if not (self.limit_w >= 0 and self.energy_kwh >= 0):
            raise ConfigError(f"grid source {self.id}: limit_w and energy_kwh at least 0")


@dataclass(frozen=True, slots=True)
class Job:
    """A workload marked deferrable: it must run for a while within a window of every day.

    Attributes:
        workload: its name in the site file.
        begin, end: of the window, ``HH:MM`` UTC; an end at or before the begin is of the next day.
        run_s: how long it runs, without a pause.
        power_w: what it draws while it runs.
    """

    workload: str
    begin: str
    end: str
    run_s: float
    power_w: float

    def __post_init__(self) -> None:
        begin_s, end_s = (day_s(t, f"grid job {self.workload}") for t in (self.begin, self.end))
        window_s = (end_s - begin_s) % 86_400 or 86_400
        if not 0 < self.run_s <= window_s or self.power_w < 0:
            raise ConfigError(
                f"grid job {self.workload}: run_s {self.run_s:g} must lie in its window of"
                f" {window_s:g} s, and power_w must be at least 0"
            )


@dataclass(frozen=True, slots=True)
class Grid:
    """Table ``[grid]`` of the coordinator's file; without it the site file's prices count.

    Attributes:
        currency: of all money.
        carbon_price_per_t: money a tonne of CO2 equivalent; 0 = carbon does not count.
        refresh_real_s: how often providers are asked.
        stale_real_s: a failing provider's last answer counts no longer than this.
    """

    currency: str = "EUR"
    carbon_price_per_t: float = 0.0
    refresh_real_s: float = 900.0
    stale_real_s: float = 86_400.0
    series: tuple[Series, ...] = ()
    meter: tuple[Meter, ...] = ()
    source: tuple[Source, ...] = ()
    job: tuple[Job, ...] = ()

    def __post_init__(self) -> None:
        if not self.carbon_price_per_t >= 0 or not self.refresh_real_s > 0:
            raise ConfigError("grid: carbon_price_per_t at least 0, refresh_real_s above 0")
        kinds = {s.id: s.quantity for s in self.series}
        meters = [m.id for m in self.meter]
        _unique([s.id for s in self.series], "grid series")
        _unique(meters, "grid meter")
        _unique([feed for m in self.meter for feed in m.feeds], "grid meter: feed")
        for m in self.meter:
            _refers(m.price, PRICE, kinds, f"grid meter {m.id}: price")
            _refers(m.carbon, CARBON, kinds, f"grid meter {m.id}: carbon")
        for s in self.source:
            _one_of(s.meter, tuple(meters), f"grid source {s.id}: meter")
            _refers(s.available, POWER, kinds, f"grid source {s.id}: available")

    def check_site(self, feeds: tuple[str, ...], workloads: tuple[str, ...]) -> None:
        """Check names against the site's.

        Raises:
            ConfigError: a feed or workload that the site does not have.
        """
        for m in self.meter:
            for feed in m.feeds:
                _one_of(feed, feeds, f"grid meter {m.id}: feeds")
        for job in self.job:
            _one_of(job.workload, workloads, "grid job: workload")


def day_s(text: str, place: str) -> float:
    """Seconds after midnight of ``HH:MM``; 24:00 is the day's end."""
    hour, _, minute = text.partition(":")
    known = hour.isdigit() and minute.isdigit()
    seconds = int(hour) * 3600 + int(minute) * 60 if known else -1
    if not 0 <= seconds <= 86_400 or int(minute) > 59:
        raise ConfigError(f"{place}: '{text}' is no time of day; give HH:MM")
    return float(seconds)


def _one_of(value: str, known: tuple[str, ...], place: str) -> None:
    if value not in known:
        raise ConfigError(f"{place}: '{value}' is not known; known: {', '.join(known)}")


def _unique(names: list[str], place: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{place}: {', '.join(twice)} is given twice")


def _refers(name: str, quantity: str, kinds: Mapping[str, str], place: str) -> None:
    if name and kinds.get(name) != quantity:
        known = [key for key, kind in kinds.items() if kind == quantity]
        raise ConfigError(
            f"{place}: '{name}' is no series of quantity {quantity}; known: {', '.join(known)}"
        )
