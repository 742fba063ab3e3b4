"""The file of served forecasts: one row a series, origin and horizon."""

import importlib
from pathlib import Path
from typing import Any, Self

import numpy as np

from wattcast_coordinator.train.backtest import CODES, MINUTES, Walked
from wattcast_coordinator.train.backtest_panel import Level, Panel, parquet
from wattcast_core.errors import ConfigError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.steps import STEP_S

_CODES = np.array([str(code) for code in CODES])
_QUANTILES = tuple(f"q{level * 100:g}" for level in QUANTILES)


class Writer:
    """Collects levels and writes them at the end, all or nothing.

    Columns: level, id, origin (UTC; the forecast used values up to it), horizon_min, q10, q50, q90,
    q99 (watts), reason (a code of ``wattcast_core.forecast.Code``, or ``summed``).
    """

    def __init__(self, path: Path) -> None:
        """Refuse early what cannot be written.

        Raises:
            ConfigError: the folder does not exist.
            MissingExtraError: pyarrow is absent.
        """
        if not path.parent.is_dir():
            raise ConfigError(f"--out {path}: no such folder; remedy: make {path.parent} first")
        self._path = path
        self._parquet, self._arrow = parquet(), importlib.import_module("pyarrow")
        self._tables: list[Any] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write, unless something failed."""
        if kind is None:
            table = self._arrow.concat_tables(self._tables)
            self._parquet.write_table(table, self._path, compression="zstd")

    def add(self, panel: Panel, level: Level, walked: Walked) -> None:
        """Take what was served for a level."""
        row, origin, place = np.nonzero(np.isfinite(walked.quantiles_w).all(axis=3))
        origin_s = panel.start_s + (panel.split + origin) * STEP_S
        arrow = self._arrow
        columns = {
            "level": arrow.array(np.full(len(row), level.name)),
            "id": arrow.array(np.array(level.ids)[row]),
            "origin": arrow.array(
                (origin_s * 1000.0).astype(np.int64), arrow.timestamp("ms", "UTC")
            ),
            "horizon_min": arrow.array(np.array(MINUTES)[place], arrow.int32()),
            "reason": arrow.array(
                np.array([str(code) for code in CODES])[walked.code[row, origin]]
            ),
        }
        served = walked.quantiles_w[row, origin, place]
        columns |= {name: served[:, k] for k, name in enumerate(_QUANTILES)}
        self._tables.append(arrow.table(columns))
