"""Carbon Intensity API of Great Britain (National Energy System Operator); no token needed.

``/intensity/{from}/{to}`` answers half hours of 14 days at most: ``{"data": [{"from":
"2018-01-20T12:00Z", "to": ..., "intensity": {"forecast": 266, "actual": 263, "index": ...}}]}``;
``actual`` is null in the future. With a region (1 to 17) it is
``/regional/intensity/{from}/{to}/regionid/{id}``, which answers ``{"data": {"regionid": ...,
"data": [...]}}`` with ``forecast`` alone. Source:
https://carbon-intensity.github.io/api-definitions/
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.http import get_json
from wattcast_coordinator.grid.provider import parsed_s
from wattcast_core.errors import DataError

URL = "https://api.carbonintensity.org.uk"


@dataclass(frozen=True, slots=True)
class UkCarbon:
    """Great Britain, or one of its regions if ``zone`` is a region's number."""

    zone: str = ""
    url: str = URL

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """Measured where known, else forecast."""
        span = f"{begin:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}"
        path = (
            f"regional/intensity/{span}/regionid/{self.zone}" if self.zone else f"intensity/{span}"
        )
        place = f"UK Carbon Intensity{f', region {self.zone}' if self.zone else ''}"
        document = await get_json(
            f"{self.url}/{path}", params={}, headers={"Accept": "application/json"}, place=place
        )
        rows = _rows(document, place)
        times = [parsed_s(str(row.get("from")), place) for row in rows]
        return values(times, [_intensity(row) for row in rows], place)


def _rows(document: Any, place: str) -> list[dict[str, Any]]:
    data = document.get("data") if isinstance(document, dict) else None
    rows = data.get("data") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{place}: no list of half hours in the answer")
    return rows


def _intensity(row: dict[str, Any]) -> float | None:
    said = row.get("intensity")
    if not isinstance(said, dict):
        return None
    actual = said.get("actual")
    number = said.get("forecast") if actual is None else actual
    return float(number) if isinstance(number, int | float) else None
