"""CAISO, PJM and ERCOT by ``gridstatus``: day-ahead hourly prices at a node or hub.

Locational marginal prices (CAISO, PJM) and settlement point prices (ERCOT) in USD/MWh. PJM needs a
key of its Data Miner. Source: https://opensource.gridstatus.io/
"""

import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.blocking import in_daemon
from wattcast_core.errors import ConfigError, DataError, MissingExtraError, Unreachable

OPERATORS = ("CAISO", "PJM", "ERCOT")
_MARKET = "DAY_AHEAD_HOURLY"


@dataclass(frozen=True, slots=True)
class GridStatus:
    """A pricing node or hub, as CAISO ``TH_NP15_GEN-APND``, PJM ``51217``, ERCOT ``HB_NORTH``."""

    operator: str
    location: str
    token: str = ""

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ConfigError(f"gridstatus: zone '{self.operator}'; known: {', '.join(OPERATORS)}")
        if not self.location:
            raise ConfigError(f"gridstatus, {self.operator}: give location, a pricing node or hub")

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """Published prices of the span; the library blocks, so it runs in a thread."""
        return await in_daemon(lambda: self._fetch(begin, end))

    def _fetch(self, begin: datetime, end: datetime) -> Values:
        at_s: list[float] = []
        price: list[float] = []
        for when_s, money in self._rows(begin, end):
            at_s.append(when_s)
            price.append(money)
        return values(at_s, price, self._place)

    @property
    def _place(self) -> str:
        return f"gridstatus, {self.operator} {self.location}"

    def _rows(self, begin: datetime, end: datetime) -> Iterator[tuple[float, float]]:
        """Day by day: what is not published yet (tomorrow, in the morning) is no failure."""
        library = _library()
        days = _days(begin, end)
        for day in days:
            try:
                frame = self._day(library, day)
            except Exception as error:  # each operator's module raises what it likes
                if day == days[-1] and len(days) > 1:
                    return
                raise Unreachable(f"{self._place}: {day} cannot be had ({error})") from error
            column = "SPP" if self.operator == "ERCOT" else "LMP"
            if column not in frame or "Interval Start" not in frame:
                raise DataError(f"{self._place}: no column {column} in {list(frame)}")
            for stamp, money in zip(frame["Interval Start"], frame[column], strict=True):
                yield float(stamp.timestamp()), float(money) / 1000

    def _day(self, library: Any, day: date) -> Any:
        asked: dict[str, Any] = {
            "date": day.isoformat(),
            "market": _MARKET,
            "locations": [self.location],
        }
        if self.operator == "ERCOT":
            return library.Ercot().get_spp(**asked)
        if self.operator == "PJM":
            asked["locations"] = [int(self.location)]
            return library.PJM(api_key=self.token).get_lmp(**asked)
        return library.CAISO().get_lmp(**asked, sleep=0)


def _days(begin: datetime, end: datetime) -> list[date]:
    first, last = begin.astimezone(UTC).date(), end.astimezone(UTC).date()
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]


def _library() -> Any:
    try:
        library = importlib.import_module("gridstatus")
    except ImportError as error:
        raise MissingExtraError("gridstatus", "grid") from error
    # The methods it offers instead fetch thousands of nodes where one is wanted.
    warnings.filterwarnings("ignore", message=r"\w+\.get_lmp is deprecated")
    return library
