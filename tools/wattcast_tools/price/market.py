"""Recorded hourly prices and carbon intensity by zone."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.units import FloatArray

EXCERPT = Path(__file__).parent / "data" / "prices.npz"
NAME = "hourly_2021_2023.parquet"
_COLUMNS = ("zone", "t", "price_usd_mwh", "ci_g_kwh")


@dataclass(frozen=True, slots=True)
class Market:
    """One zone, hour by hour.

    Attributes:
        start_s: epoch seconds of the first hour.
        price_per_kwh: [hour] US dollars.
        carbon_g: [hour] grams a kWh; 0 where the recording has none.
    """

    zone: str
    start_s: float
    price_per_kwh: FloatArray
    carbon_g: FloatArray


def shipped() -> list[Market]:
    """The excerpt that ships (see data/NOTICE): prices without carbon."""
    with np.load(EXCERPT) as file:
        start_s, price = float(file["start_s"]), file["price_usd_mwh"].astype(float) / 1000
        return [
            Market(str(zone), start_s, series, np.zeros(len(series)))
            for zone, series in zip(file["zone"], price, strict=True)
        ]


def read(folder: Path) -> list[Market]:
    """All zones of a folder that holds the whole recording.

    Raises:
        ConfigError: the file or a column is missing.
        DataError: it is no parquet file, or a zone has gaps.
        MissingExtraError: pyarrow is absent.
    """
    table = _table(folder / NAME)
    zones = np.array(table["zone"].to_pylist())
    at_s = table["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    price = table["price_usd_mwh"].to_numpy().astype(float) / 1000
    carbon = table["ci_g_kwh"].to_numpy().astype(float)
    out = []
    for zone in sorted(set(zones.tolist())):
        mine = np.flatnonzero(zones == zone)
        mine = mine[np.argsort(at_s[mine])]
        if (np.diff(at_s[mine]) != 3600).any() or not np.isfinite(price[mine]).all():
            raise DataError(f"{folder / NAME}: zone {zone} has gaps")
        out.append(
            Market(zone, float(at_s[mine[0]]), price[mine], np.nan_to_num(carbon[mine], nan=0.0))
        )
    return out


def cut(folder: Path, zones: tuple[str, ...], first: str, hours: int) -> None:
    """Write the excerpt: prices of some zones from a day on."""
    start_s = int(np.datetime64(first, "s").astype(np.int64))
    chosen = [m for m in read(folder) if m.zone in zones]
    begin = [int((start_s - m.start_s) // 3600) for m in chosen]
    series = [m.price_per_kwh[b : b + hours] for m, b in zip(chosen, begin, strict=True)]
    EXCERPT.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        EXCERPT,
        zone=np.array([m.zone for m in chosen]),
        start_s=start_s,
        price_usd_mwh=(1000 * np.stack(series)).astype(np.float32),
    )


def _table(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"--data: {path} is missing; give the folder that holds {NAME}")
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "grid") from error
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise ConfigError(f"{path}: no column {', '.join(missing)}")
    return table
