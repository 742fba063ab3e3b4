"""Electricity Maps, API v4: carbon intensity and day-ahead price of a zone.

``/v4/carbon-intensity/history`` answers ``{"data": [...]}``, ``.../forecast`` ``{"forecast":
[...]}``, rows with ``datetime`` and ``carbonIntensity`` (g CO2eq/kWh, life cycle);
``/v4/price-day-ahead/combined`` ``{"data": [{"datetime", "value", "unit": "EUR/MWh"}]}``. The token
goes into the header ``auth-token``; without ``disableCallerLookup`` an unknown zone would silently
become that of the caller. Source: https://portal.electricitymaps.com/docs/api
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wattcast_configs.grid import CARBON
from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.http import get_json
from wattcast_coordinator.grid.provider import parsed_s
from wattcast_core.errors import DataError

URL = "https://api.electricitymaps.com"
_HORIZON_H = "24"


@dataclass(frozen=True, slots=True)
class ElectricityMaps:
    """One zone; ``quantity`` is ``carbon`` or ``price``."""

    zone: str
    quantity: str
    token: str
    url: str = URL

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """The last 24 hours and the next 24; the free plan knows no more."""
        del begin, end
        if self.quantity == CARBON:
            past = await self._rows("carbon-intensity/history")
            ahead = await self._rows("carbon-intensity/forecast", horizonHours=_HORIZON_H)
            known = {**_column(ahead, "carbonIntensity"), **_column(past, "carbonIntensity")}
            return values(tuple(known), tuple(known.values()), self._place)
        rows = await self._rows("price-day-ahead/combined")
        if units := {row.get("unit") for row in rows} - {None}:
            self._check_units(units)
        known = {
            at_s: None if v is None else v / 1000 for at_s, v in _column(rows, "value").items()
        }
        return values(tuple(known), tuple(known.values()), self._place)

    @property
    def _place(self) -> str:
        return f"Electricity Maps, zone {self.zone}"

    async def _rows(self, path: str, **params: str) -> list[dict[str, Any]]:
        document = await get_json(
            f"{self.url}/v4/{path}",
            params={"zone": self.zone, "disableCallerLookup": "true", **params},
            headers={"auth-token": self.token},
            place=self._place,
        )
        rows = (
            document.get("data", document.get("forecast")) if isinstance(document, dict) else None
        )
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{self._place}: {path} has no list 'data' or 'forecast'")
        return rows

    def _check_units(self, units: set[Any]) -> None:
        if not all(str(unit).endswith("/MWh") for unit in units):
            raise DataError(f"{self._place}: prices in {units}, expected money/MWh")


def _column(rows: list[dict[str, Any]], name: str) -> dict[float, float | None]:
    """Time -> number or None."""
    out: dict[float, float | None] = {}
    for row in rows:
        number = row.get(name)
        if number is not None and not isinstance(number, int | float):
            raise DataError(f"Electricity Maps: {name} is {number!r}, expected a number")
        out[parsed_s(str(row.get("datetime")), "Electricity Maps")] = number
    return out
