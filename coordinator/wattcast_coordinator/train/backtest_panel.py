"""A recorded data centre for back-tests: servers, and the racks and feeds that carry them.

A folder with ``servers.parquet`` (columns in COLUMNS, one row a server and 5-minute step) and
``topology.json`` (``servers``: id -> ``rack``, ``feed_a_share`` 0..1 and, optional,
``application``; optional ``n1_limit_w``).
A rack, a feed and ``n1`` (all servers on the one feed left) are series like a server: watts and
rates added up, use averaged.
"""

import importlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import STEP_S
from wattcast_core.units import FloatArray, epoch_s

COLUMNS = (
    "power_w",
    "cpu_util",
    "mem_pct",
    "net_rx_kbs",
    "net_tx_kbs",
    "disk_r_kbs",
    "disk_w_kbs",
)
_UNITS = np.array([1.0, 100.0, 1.0, *[1000.0] * 4])  # of COLUMNS, to those of CHANNELS
_ADDED = np.array([name.endswith("_s") or name == "power_w" for name in CHANNELS])
_HOLD_STEPS = 12  # a server's last watts count this long in the sum of its rack
_GAP_SHARE = 0.2  # of servers not recorded: above it no sum is known
_LAYOUT = "remedy: give the folder that holds servers.parquet and topology.json"


@dataclass(frozen=True, slots=True)
class Level:
    """Series of one kind.

    Attributes:
        name: ``server``, ``rack``, ``feed`` or ``n1``.
        ids: of the series.
        channels: [series, step, len(CHANNELS)], NaN where not recorded.
        shares: [series, server] of each server's power that counts in the series.
        limit_w: limit of an overload; NaN if there is none.
    """

    name: str
    ids: tuple[str, ...]
    channels: FloatArray
    shares: FloatArray
    limit_w: float = float("nan")


@dataclass(frozen=True, slots=True)
class Panel:
    """All levels on one clock.

    Attributes:
        start_s: epoch seconds of the first step.
        split: step at which the judged part begins.
        levels: server, rack, feed, n1.
        filled_w: [server, step] what counts of each server in a sum: its power, in short gaps
            the last known, then what was usual before the split.
        applications: [server] names, empty where not told.
    """

    start_s: float
    split: int
    levels: tuple[Level, ...]
    filled_w: FloatArray
    applications: tuple[str, ...] = ()


def read(folder: Path, fit_until: datetime) -> Panel:
    """Read a panel.

    Raises:
        ConfigError: a file, column or server is missing, or ``fit_until`` lies outside.
        DataError: a file cannot be understood.
        MissingExtraError: pyarrow is absent.
    """
    topology = _topology(folder / "topology.json")
    ids = tuple(topology["servers"])
    servers, start_s = _servers(folder / "servers.parquet", ids)
    split = round((epoch_s(fit_until) - start_s) / STEP_S)
    if not 0 < split < servers.shape[1]:
        raise ConfigError(
            f"--fit-until {fit_until:%Y-%m-%d %H:%M}: no recorded step before or none after it in "
            f"{folder}; remedy: a time between its first and its last step"
        )
    filled_w = _filled(servers[:, :, 0], split)
    applications = tuple(str(topology["servers"][name].get("application", "")) for name in ids)
    levels = _levels(ids, servers, filled_w, topology)
    return Panel(start_s, split, levels, filled_w, applications)


def parquet() -> Any:
    """The module that reads and writes parquet files.

    Raises:
        MissingExtraError: pyarrow is absent.
    """
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "train") from error


def _topology(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in found["servers"].values():
            str(entry["rack"]), float(entry["feed_a_share"])
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {_LAYOUT}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: {error!r}; remedy: servers: {{id: {{rack, feed_a_share}}}}"
        ) from error
    return found


def _servers(path: Path, ids: tuple[str, ...]) -> tuple[FloatArray, float]:
    if not path.is_file():
        raise ConfigError(f"{path}: missing; {_LAYOUT}")
    try:
        table = parquet().read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a parquet file ({error}); {_LAYOUT}") from error
    missing = [name for name in ("t", "server", *COLUMNS) if name not in table.column_names]
    if missing:
        raise ConfigError(f"{path}: no column {', '.join(missing)}; remedy: see wattcast backtest")
    stamps = table["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    row_of = {name: row for row, name in enumerate(ids)}
    rows = np.array([row_of.get(name, -1) for name in table["server"].to_pylist()])
    if not len(rows) or (rows < 0).any():
        raise ConfigError(f"{path}: no rows, or a server that topology.json does not name")
    start_s = float(stamps.min() // STEP_S * STEP_S)
    steps = ((stamps - start_s) // STEP_S).astype(np.int64)
    out = np.full((len(ids), int(steps.max()) + 1, len(CHANNELS)), np.nan)
    for channel, (name, unit) in enumerate(zip(COLUMNS, _UNITS, strict=True)):
        out[rows, steps, channel] = table[name].to_numpy() * unit
    out[~np.isfinite(out) | (out < 0)] = np.nan
    return out, start_s


def _levels(
    ids: tuple[str, ...], servers: FloatArray, filled_w: FloatArray, topology: dict[str, Any]
) -> tuple[Level, ...]:
    entries = [topology["servers"][name] for name in ids]
    share = np.array([float(entry["feed_a_share"]) for entry in entries])
    rack = np.array([str(entry["rack"]) for entry in entries])
    racks = tuple(sorted(set(rack.tolist())))
    of_rack = np.array([rack == name for name in racks], np.float64)
    filled = servers.copy()
    filled[:, :, 0] = filled_w
    filled[:, np.isnan(servers[:, :, 0]).mean(axis=0) > _GAP_SHARE, 0] = np.nan
    limit_w = float(topology.get("n1_limit_w", "nan"))
    sums = (
        ("rack", racks, of_rack, float("nan")),
        ("feed", ("A", "B"), np.stack([share, 1.0 - share]), float("nan")),
        ("n1", ("total",), np.ones((1, len(ids))), limit_w),
    )
    return (
        Level("server", ids, servers, np.eye(len(ids))),
        *(Level(name, of, _summed(filled, part), part, most) for name, of, part, most in sums),
    )


def _filled(power: FloatArray, split: int) -> FloatArray:
    """[server, step] watts without gaps: the last known for a while, then the usual one."""
    known = np.isfinite(power)
    steps = np.arange(power.shape[1])
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    held = np.take_along_axis(power, np.maximum(last, 0), axis=1)
    before = zip(power[:, :split], known[:, :split], strict=True)
    usual = [np.median(row[ok]) if ok.any() else 0.0 for row, ok in before]
    near = (last >= 0) & (steps - last <= _HOLD_STEPS)
    return np.where(near, held, np.array(usual)[:, None])


def _summed(filled: FloatArray, weights: FloatArray) -> FloatArray:
    """[node, step, channel] of [server, step, channel] and [node, server] shares."""
    known = np.isfinite(filled)
    total = np.einsum("ns,stc->ntc", weights, np.where(known, filled, 0.0))
    count = np.einsum("ns,stc->ntc", weights, known.astype(np.float64))
    added = np.where(count > 0, total, np.nan)
    return np.where(_ADDED, added, total / np.where(count > 0, count, np.nan))
