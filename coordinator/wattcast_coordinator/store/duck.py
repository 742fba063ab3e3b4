"""DuckDB: one file, owned by one process."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.engine import Read, Rows, Session
from wattcast_coordinator.store.schema import Series
from wattcast_core.errors import ConfigError, DataError, MissingExtraError, StoreUnavailable

try:
    import duckdb
except ImportError as error:
    raise MissingExtraError("duckdb", "coordinator") from error

_BATCH = 100_000
_GAP_MS = 15 * 60_000


class DuckEngine:
    """The embedded engine.

    Attributes:
        path: the file.
    """

    name = "duckdb"
    schema_lock = "SELECT 1"  # the file has one owner

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: another process owns it.
            DataError: it is damaged, or no DuckDB file.
        """
        self.path, self.place = path, str(path)
        self._lock = threading.Lock()
        self._root: duckdb.DuckDBPyConnection | None = _open(path)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """See ``Engine``."""
        with self._explained(), self._cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield _Session(cursor)
            except BaseException:
                with suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """See ``Engine``."""
        with self._explained(), self._cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See ``Engine``."""
        with self._explained(), self._cursor() as cursor:
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()

    @contextmanager
    def snapshot(self) -> Iterator[Read]:
        """See ``Engine``."""
        with self._explained(), self._cursor() as cursor:
            cursor.execute("BEGIN")
            yield lambda sql, parameters: cursor.sql(sql, params=list(parameters)).to_arrow_reader(
                _BATCH
            )
            cursor.execute("COMMIT")

    def series_sql(self, name: str, columns: str, _key: tuple[str, ...]) -> Sequence[str]:
        """No primary key: an anti-join bounded in time costs less than an index on it."""
        return (f"CREATE TABLE IF NOT EXISTS {name} ({columns})",)

    def drop_before(self, series: Series, day_ms: int) -> None:
        """See ``Engine``."""
        with self.transaction() as session:
            session.execute(
                f"DELETE FROM {series.name} WHERE {series.time} < epoch_ms($1::BIGINT)",
                [day_ms],
            )

    def close(self) -> None:
        """Write everything into the file and give it free."""
        with self._lock:
            if self._root is not None:
                self._root.close()
            self._root = None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """An independent connection; opens the file again after an error that closed it."""
        with self._lock:
            if self._root is None:
                self._root = _open(self.path)
            return self._root.cursor()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except duckdb.FatalException as error:  # the library gives the database up: open it anew
            self.close()
            raise self._unavailable(error) from error
        except (
            duckdb.IOException,
            duckdb.TransactionException,
            duckdb.OutOfMemoryException,
        ) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.place}: nothing was stored, and agents keep what they sent ({_brief(error)});"
            " remedy: make room on the disk"
        )


class _Session:
    """See ``Session``."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._cursor.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        return self._cursor.execute(sql, parameters).fetchall()

    def stage(self, table: str, rows: pa.Table) -> None:
        self._cursor.register(f"new_{table}", rows)

    def load(self, table: str, rows: pa.Table) -> None:
        self.stage(table, rows)
        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        self._cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM new_{table}")

    def make_room(self, series: Series, days_ms: Sequence[int]) -> None:
        """There is nothing to do."""

    def add(self, series: Series, rows: pa.Table) -> None:
        """Insert what an anti-join finds new; one for each stretch of time without a long gap.

        Else one replay of last week beside what is live would make it search the whole week.
        """
        new = f"new_{series.name}"
        self.stage(series.name, rows)
        columns = ", ".join(f'"{name}"' for name in series.columns)
        same = " AND ".join(f"old.{name} = new.{name}" for name in series.key)
        time = series.time
        insert = (
            f"INSERT INTO {series.name} ({columns}) SELECT {columns} FROM {new} AS new"
            f" WHERE {time} BETWEEN epoch_ms($1::BIGINT) AND epoch_ms($2::BIGINT) AND NOT EXISTS"
            f" (SELECT 1 FROM {series.name} AS old WHERE {same}"
            f" AND old.{time} BETWEEN epoch_ms($1::BIGINT) AND epoch_ms($2::BIGINT))"
        )
        for first_ms, last_ms in _stretches(rows[time]):
            self._cursor.execute(insert, [first_ms, last_ms])


def _stretches(times: pa.ChunkedArray) -> list[tuple[int, int]]:
    at_ms = np.unique(times.cast(pa.int64()).to_numpy())
    cuts = np.flatnonzero(np.diff(at_ms) > _GAP_MS)
    firsts = at_ms[np.concatenate(([0], cuts + 1))]
    lasts = at_ms[np.concatenate((cuts, [len(at_ms) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # one thread: each statement is small, and the forecasts of a rack need the other cores
        return duckdb.connect(path, config={"threads": 1, "memory_limit": "512MB"})
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise ConfigError(
                f"{path}: in use by another process; remedy: end it, or choose another state_dir"
                f" ({error})"
            ) from error
        raise _damaged(path, error) from error
    except (duckdb.Error, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: not a DuckDB file, or damaged; remedy: restore it, or move it and its .wal away"
        f" and a new one is made ({_brief(error)})"
    )


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0]
