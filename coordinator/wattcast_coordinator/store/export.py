"""Stored rows for others: Arrow and Parquet files."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs
import pyarrow.parquet as pq  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.engine import Engine
from wattcast_coordinator.store.schema import SERIES, SIGNATURES, SIGNATURES_1M, TAGS
from wattcast_core.errors import ConfigError

TABLES = {series.name: series for series in SERIES}
_TAGGED = (SIGNATURES.name, SIGNATURES_1M.name)


def export(engine: Engine, table: str, path: Path, span: tuple[datetime, datetime]) -> int:
    """Write a table's rows of a time into a file; signatures with the tags they had then.

    Args:
        engine: where they are.
        table: one of TABLES.
        path: ``.arrow`` (IPC file) or ``.parquet``.
        span: from the first time on, before the second.

    Returns:
        How many rows.

    Raises:
        ConfigError: unknown table or kind of file.
    """
    if path.suffix not in (".arrow", ".parquet"):
        raise ConfigError(f"{path}: give a name that ends in .arrow or .parquet")
    with engine.snapshot() as read:
        return write(read(*_select(table, span)), path)


def write(rows: pa.RecordBatchReader, path: Path) -> int:
    """Write batches as they come; the number of rows."""
    count = 0
    parquet = path.suffix == ".parquet"
    writer = (pq.ParquetWriter if parquet else pa.ipc.new_file)(str(path), rows.schema)
    with writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _select(table: str, span: tuple[datetime, datetime]) -> tuple[str, Sequence[Any]]:
    if table not in TABLES:
        raise ConfigError(f"no table '{table}'; there are: {', '.join(TABLES)}")
    time = TABLES[table].time
    tags = join = ""
    if table in _TAGGED:
        tags = "".join(f", d.{tag}" for tag in TAGS)
        join = (
            " LEFT JOIN servers AS d ON d.server = t.server"
            f" AND t.{time} >= d.valid_from AND t.{time} < d.valid_to"
        )
    sql = (
        f"SELECT t.*{tags} FROM {table} AS t{join}"
        f" WHERE t.{time} >= $1 AND t.{time} < $2 ORDER BY t.{time}"
    )
    return sql, [at.astimezone(UTC).replace(tzinfo=None) for at in span]
