"""A tariff that the operator writes down: bands of hours and days, in its own time zone."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wattcast_configs.grid import Band, day_s
from wattcast_coordinator.economy.values import Values, values
from wattcast_core.errors import ConfigError
from wattcast_core.units import epoch_s, from_epoch_s

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEP_S = 900.0  # bands begin and end on quarter hours; switches to summer time do, too


@dataclass(frozen=True, slots=True)
class Tariff:
    """Bands; the first that fits a quarter hour gives its price.

    Raises:
        ConfigError: unknown time zone, day or time; a quarter hour of the week without a band.
    """

    bands: tuple[Band, ...]
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.zone)
        for day in range(7):
            for quarter in range(96):
                if self._price(day, quarter * _STEP_S) is None:
                    raise ConfigError(
                        f"tariff: no band for {_DAYS[day]} {quarter // 4:02}:{quarter % 4 * 15:02};"
                        " give a last band without days and hours"
                    )

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """Every quarter hour of the span."""
        zone = _zone(self.zone)
        first = int(epoch_s(begin) // _STEP_S)
        times = [k * _STEP_S for k in range(first, int(epoch_s(end) // _STEP_S) + 1)]
        local = [from_epoch_s(t).astimezone(zone) for t in times]
        prices = [self._price(at.weekday(), at.hour * 3600 + at.minute * 60) for at in local]
        return values(times, prices, "tariff")

    def _price(self, weekday: int, second: float) -> float | None:
        return next((b.price_per_kwh for b in self.bands if _fits(b, weekday, second)), None)


def _fits(band: Band, weekday: int, second: float) -> bool:
    begin_s = day_s(band.begin, "tariff band: begin")
    end_s = day_s(band.end, "tariff band: end")
    if begin_s < end_s:
        return begin_s <= second < end_s and weekday in _weekdays(band.days)
    # Over midnight: the early hours belong to the day before.
    late, early = second >= begin_s, second < end_s
    day = (weekday - 1) % 7 if early and not late else weekday
    return (late or early) and day in _weekdays(band.days)


def _weekdays(text: str) -> set[int]:
    if not text:
        return set(range(7))
    first, _, last = text.lower().partition("-")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ConfigError(f"tariff band: days '{text}'; give e.g. mon-fri or sun")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return {(begin + k) % 7 for k in range((end - begin) % 7 + 1)}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"tariff: time zone '{name}' is not known; give e.g. Europe/Berlin"
            " (on a system without time zones: pip install tzdata)"
        ) from error
