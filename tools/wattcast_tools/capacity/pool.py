"""Recorded machines that the study's rooms are filled with."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import STEP_S
from wattcast_core.units import FloatArray
from wattcast_tools.room.traces import COLUMNS, load_traces

IDLE_W, RANGE_W = 100.0, 300.0  # the study's server: a 400 W machine that idles at a quarter
_START_S = 1376265600.0  # Monday 12 August 2013, when the shipped recording begins
_MISSING = 0.05  # machines with more gaps are left out
_LEAST_USE = 0.03  # mean use of machines that are worth a study
_CPU = CHANNELS.index("cpu_pct")
_VM = {name: name for name in COLUMNS} | {"t": "t", "machine": "vm"}
_PANEL = _VM | {"machine": "server", "cpu_pct": "cpu_util"}


@dataclass(frozen=True, slots=True)
class Pool:
    """Machines on one clock, in recorded order: neighbours belong together.

    Attributes:
        name: where they come from.
        start_s: epoch seconds of the first step.
        use: [machine, step] CPU use, 0 to 1.
        channels: [machine, step, len(CHANNELS)] what an agent would read of such a machine on the
            study's server.
    """

    name: str
    start_s: float
    use: FloatArray
    channels: FloatArray


def shipped() -> Pool:
    """The 48 machines that ship with the simulated room: Monday to Friday."""
    return _pool("48 recorded machines, 12 to 16 August 2013", _START_S, load_traces().values)


def read(folder: Path) -> Pool:
    """Machines of a folder: ``servers.parquet`` of a back-test's panel, or ``vms_*.parquet``.

    Raises:
        ConfigError: neither is there, or a column is missing.
        DataError: a file cannot be understood, or holds no lively machine.
        MissingExtraError: pyarrow is absent.
    """
    panel, vms = folder / "servers.parquet", sorted(folder.glob("vms_*.parquet"))
    if panel.is_file():
        return _from_files(folder, [panel], _PANEL, cpu_unit=100.0)
    if vms:
        return _from_files(folder, vms[-1:], _VM, cpu_unit=1.0)
    raise ConfigError(f"--panel {folder}: neither servers.parquet nor vms_*.parquet is in it")


def _from_files(
    folder: Path, paths: Sequence[Path], names: dict[str, str], cpu_unit: float
) -> Pool:
    table = _table(paths, names)
    stamps = table[names["t"]].to_numpy().astype("datetime64[s]").astype(np.int64)
    start_s = float(stamps.min() // STEP_S * STEP_S)
    machines, row = np.unique(
        np.array(table[names["machine"]].to_pylist()).astype(str), return_inverse=True
    )
    step = ((stamps - start_s) // STEP_S).astype(np.int64)
    values = np.full((len(machines), int(step.max()) + 1, len(COLUMNS)), np.nan)
    for column, name in enumerate(COLUMNS):
        values[row, step, column] = table[names[name]].to_numpy()
    values[:, :, 0] *= cpu_unit
    cpu = values[:, :, 0]
    gaps = np.isnan(cpu).mean(axis=1)
    lively = (gaps < _MISSING) & (np.nansum(cpu, axis=1) > 100.0 * _LEAST_USE * cpu.shape[1])
    if lively.sum() < 2:
        raise DataError(f"--panel {folder}: fewer than two complete, lively machines in it")
    return _pool(f"{int(lively.sum())} recorded machines of {folder.name}", start_s, values[lively])


def _table(paths: Sequence[Path], names: dict[str, str]) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "train") from error
    try:
        table = parquet.read_table(list(map(str, paths)))
    except (OSError, ValueError) as error:
        raise DataError(f"{paths[0]}: not a readable parquet file ({error})") from error
    missing = [name for name in names.values() if name not in table.column_names]
    if missing:
        raise ConfigError(f"{paths[0]}: no column {', '.join(missing)}")
    return table


def _pool(name: str, start_s: float, values: FloatArray) -> Pool:
    """From [machine, step, COLUMNS] with CPU in per cent and rates in KB/s."""
    by_name = dict(zip(COLUMNS, np.moveaxis(_held(values), 2, 0), strict=True))
    use = np.clip(by_name["cpu_pct"] / 100.0, 0.0, 1.0)
    channels = np.stack(
        [
            IDLE_W + RANGE_W * use,
            100.0 * use,
            by_name["mem_pct"],
            *(
                1000.0 * by_name[k]
                for k in ("net_rx_kbs", "net_tx_kbs", "disk_r_kbs", "disk_w_kbs")
            ),
        ],
        axis=2,
    )
    return Pool(name, start_s, use, channels)


def _held(values: FloatArray) -> FloatArray:
    """Gaps filled with the last known value, 0 before the first."""
    at = np.where(np.isfinite(values), np.arange(values.shape[1])[None, :, None], -1)
    last = np.maximum.accumulate(at, axis=1)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    return np.where(last >= 0, held, 0.0)
