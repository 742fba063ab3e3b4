"""From a configured series to its provider."""

from pathlib import Path

from wattcast_configs.grid import CARBON, POWER, PRICE, UNITS, Series
from wattcast_configs.secret import read_secret
from wattcast_coordinator.grid import electricity_maps, uk_carbon
from wattcast_coordinator.grid.electricity_maps import ElectricityMaps
from wattcast_coordinator.grid.entsoe import Entsoe
from wattcast_coordinator.grid.gridstatus import GridStatus
from wattcast_coordinator.grid.provider import PriceCarbon
from wattcast_coordinator.grid.table import Table
from wattcast_coordinator.grid.tariff import Tariff
from wattcast_coordinator.grid.uk_carbon import UkCarbon
from wattcast_core.errors import ConfigError

_GIVES = {
    "electricity_maps": (PRICE, CARBON),
    "uk_carbon": (CARBON,),
    "entsoe": (PRICE,),
    "gridstatus": (PRICE,),
    "file": (PRICE, CARBON, POWER),
    "tariff": (PRICE,),
}


def provider(series: Series, folder: Path) -> PriceCarbon:
    """The provider of a series; files are relative to ``folder``.

    Raises:
        ConfigError: a quantity it does not give, a zone or token that is missing.
    """
    place = f"grid series {series.id}"
    if series.quantity not in _GIVES[series.provider]:
        given = ", ".join(_GIVES[series.provider])
        raise ConfigError(f"{place}: {series.provider} gives {given}, not {series.quantity}")
    match series.provider:
        case "electricity_maps":
            token = read_secret(series.token, f"{place}: token")
            url = series.url or electricity_maps.URL
            return ElectricityMaps(_zone(series, place), series.quantity, token, url)
        case "uk_carbon":
            return UkCarbon(series.zone, series.url or uk_carbon.URL)
        case "entsoe":
            return Entsoe(_zone(series, place), read_secret(series.token, f"{place}: token"))
        case "gridstatus":
            token = read_secret(series.token, f"{place}: token") if series.token else ""
            return GridStatus(_zone(series, place), series.location, token)
        case "tariff":
            return Tariff(series.band, series.zone or "UTC")
    factor = UNITS[series.quantity][series.unit]
    return Table(folder / series.file, series.time_column, series.column, factor)


def _zone(series: Series, place: str) -> str:
    if not series.zone:
        raise ConfigError(f"{place}: give zone, as {series.provider} names it")
    return series.zone
