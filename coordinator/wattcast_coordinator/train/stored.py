"""The signature database as a data set: every server on the model's steps."""

import importlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.models import ALL
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import DAY, STEP_S
from wattcast_core.units import FloatArray

_SPAN = timedelta(seconds=STEP_S)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What a database holds of a time.

    Attributes:
        start_s: epoch seconds at which the first step begins.
        servers: [series] ids; one that changed its application is a series for each.
        applications: [series].
        channels: [series, step, len(CHANNELS)], NaN where nothing was measured.
    """

    start_s: float
    servers: tuple[str, ...]
    applications: tuple[str, ...]
    channels: FloatArray

    def of(self, application: str) -> "Stored":
        """The series of one application; ALL gives all of them."""
        if application == ALL:
            return self
        rows = [k for k, name in enumerate(self.applications) if name == application]
        names = tuple(self.servers[k] for k in rows)
        return Stored(self.start_s, names, (application,) * len(rows), self.channels[rows])

    def server_days(self, until_step: int) -> float:
        """Days of measured power before a step, over all series."""
        return float(np.isfinite(self.channels[:, :until_step, 0]).sum()) / DAY

    def named(self, least_server_days: float, until_step: int) -> list[str]:
        """Applications with at least so much measured power before a step."""
        names = sorted({name for name in self.applications if name})
        return [n for n in names if self.of(n).server_days(until_step) >= least_server_days]


def read(source: str, days: float, until: datetime | None = None) -> Stored:
    """Read the newest ``days`` before ``until`` (default: all that there is).

    Args:
        source: ``duckdb:FILE``, ``postgresql://...``, a DuckDB file, or a .parquet file that a
            coordinator wrote.
        days: how many.
        until: data time.

    Raises:
        ConfigError: no such file or database, or it holds nothing of that time.
        DataError: the file is damaged.
        MissingExtraError: pyarrow, or the driver of the database, is not installed.
        StoreUnavailable: the database does not answer.
    """
    table = _parquet(source) if source.endswith(".parquet") else _database(source, days, until)
    if not table.num_rows:
        raise ConfigError(f"{source}: nothing was measured in that time; remedy: another --days")
    return _panel(table, source)


def _database(source: str, days: float, until: datetime | None) -> Any:
    from wattcast_coordinator.store import steps
    from wattcast_coordinator.store.open import open_store

    store = open_store(source if ":" in source else f"duckdb:{_there(source)}")
    try:
        end = until or steps.newest(store.engine)
        if end is None:
            raise ConfigError(f"{source}: holds no signatures yet")
        end += _SPAN if until is None else timedelta()
        return steps.steps(store.engine, end - timedelta(days=days), end)
    finally:
        store.close()


def _there(source: str) -> str:
    if not Path(source).is_file():  # an empty one would be made
        raise ConfigError(
            f"--from-store {source}: no such file; remedy: duckdb:FILE, postgresql://... or a"
            " .parquet file of a coordinator"
        )
    return source


def _parquet(source: str) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "train") from error
    try:
        return parquet.read_table(_there(source))
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: not a parquet file ({error})") from error


def _panel(table: Any, source: str) -> Stored:
    missing = {"server", "application", "step", *CHANNELS} - set(table.column_names)
    if missing:
        raise DataError(f"{source}: no column {', '.join(sorted(missing))}")
    series, rows = _series(table.combine_chunks())
    step = table["step"].to_numpy().astype(np.int64)
    first = int(step.min())
    channels = np.full((len(series), int(step.max()) - first + 1, len(CHANNELS)), np.nan)
    for k, name in enumerate(CHANNELS):
        channels[rows, step - first, k] = table[name].to_numpy(zero_copy_only=False)
    power = channels[:, :, 0]
    power[~(power >= 0)] = np.nan
    servers, applications = zip(*series, strict=True)
    return Stored(first * STEP_S, servers, applications, channels)


def _series(table: Any) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Server and application of each series, sorted, and the series of each row."""
    servers, names = (table[of].chunk(0).dictionary_encode() for of in ("server", "application"))
    codes = servers.indices.to_numpy().astype(np.int64) * len(names.dictionary)
    found, rows = np.unique(codes + names.indices.to_numpy(), return_inverse=True)
    known = [of.dictionary.to_pylist() for of in (servers, names)]
    pairs = [(known[0][code // len(known[1])], known[1][code % len(known[1])]) for code in found]
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    return [pairs[k] for k in order], np.argsort(order)[rows]


def split_step(stored: Stored, judge_days: float) -> int:
    """First step of the newest ``judge_days``, which nothing is learned from.

    Raises:
        ConfigError: no day is left before it.
    """
    split: int = stored.channels.shape[1] - round(judge_days * DAY)
    if split < DAY:
        days = stored.channels.shape[1] / DAY
        raise ConfigError(
            f"the data span {days:.1f} days, of which {judge_days:g} are left out to judge by: less"
            " than a day to learn from; remedy: wait, or fewer --judge-days"
        )
    return split
