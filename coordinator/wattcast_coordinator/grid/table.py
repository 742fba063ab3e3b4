"""Prices, carbon intensity or available power from a CSV or Parquet file of the operator's own."""

import asyncio
import csv
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.provider import parsed_s
from wattcast_core.errors import ConfigError, DataError, MissingExtraError, Unreachable


@dataclass(frozen=True, slots=True)
class Table:
    """Two columns of a file; it is read again at every refresh, so it may grow."""

    path: Path
    time_column: str
    column: str
    factor: float

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """Everything in the file: it may be the only record of earlier days."""
        del begin, end
        return await asyncio.to_thread(self._read)

    def _read(self) -> Values:
        if not self.path.is_file():
            raise Unreachable(f"{self.path}: no such file; it is looked for again later")
        parquet = self.path.suffix.lower() == ".parquet"
        times, numbers = self._parquet() if parquet else self._csv()
        scaled = [None if v is None else v * self.factor for v in numbers]
        return values(times, scaled, str(self.path))

    def _csv(self) -> tuple[list[float], list[float | None]]:
        times: list[float] = []
        numbers: list[float | None] = []
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            self._check(rows.fieldnames or ())
            for row in rows:
                place = f"{self.path}: line {rows.line_num}"
                times.append(parsed_s(row[self.time_column], place))
                numbers.append(_number(row[self.column], place))
        return times, numbers

    def _parquet(self) -> tuple[list[float], list[float | None]]:
        try:
            parquet: Any = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise MissingExtraError("pyarrow", "grid") from error
        try:
            table = parquet.read_table(self.path)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: not a parquet file ({error})") from error
        self._check(table.column_names)
        stamps = table[self.time_column].to_numpy().astype("datetime64[ms]").astype("int64")
        return [float(ms) / 1000 for ms in stamps], table[self.column].to_pylist()

    def _check(self, names: Sequence[str]) -> None:
        missing = [name for name in (self.time_column, self.column) if name not in names]
        if missing:
            known = ", ".join(names)
            raise ConfigError(f"{self.path}: no column {', '.join(missing)}; it has {known}")


def _number(text: str | None, place: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{place}: '{text}' is no number") from error
