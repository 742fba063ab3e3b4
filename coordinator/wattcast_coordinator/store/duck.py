"""The signature database in DuckDB: one file, owned by one process."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from wattcast_coordinator.ports import RaiseEvent, Severity, Store
from wattcast_coordinator.store.results import Counts, HistoryPoint
from wattcast_coordinator.store.tables import (
    DEVICE_STATES,
    EVENTS,
    FORECASTS,
    SAMPLES,
    SIGNATURES,
    TABLES,
    Table,
    milliseconds,
)
from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.forecast import Kind
from wattcast_core.messages import Batch
from wattcast_core.units import EPOCH

try:
    import duckdb
except ImportError as error:
    raise MissingExtraError("duckdb", "coordinator") from error

RAW_DAYS = 7
_BATCHES = "CREATE TABLE IF NOT EXISTS batches (agent VARCHAR PRIMARY KEY, sequence BIGINT)"
_UPSERT = (
    "INSERT INTO batches VALUES (?, ?) ON CONFLICT (agent) DO UPDATE"
    " SET sequence = greatest(sequence, excluded.sequence)"
)


class DuckStore(Store):
    """The Store of ``ports``; write from one thread, read from any.

    Invariants: a batch is stored whole or not at all; a row of the same key is stored once, so
    that replays change nothing; ``write`` returns after the commit.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: another process owns it, or it was made by another version.
            DataError: it is damaged, or no DuckDB file.
        """
        self.path = path
        self._root = _open(path)  # kept idle: cursors of it are independent connections
        self._writer = self._root.cursor()
        self._create()
        self._acknowledged: dict[str, int] = dict(
            self._writer.execute("SELECT agent, sequence FROM batches").fetchall()
        )

    def close(self) -> None:
        """Write everything into the file and give it free."""
        self._writer.close()
        self._root.close()

    def write(self, agent: str, batch: Batch) -> None:
        """Store a batch durably; replays are idempotent."""
        self.write_many([(agent, batch)])

    def write_many(self, batches: Sequence[tuple[str, Batch]]) -> None:
        """Store batches of (agent id, batch) in one durable transaction."""
        rows: dict[Table, Sequence[Any]] = {
            SAMPLES: [row for _, b in batches for row in b.samples],
            SIGNATURES: [row for _, b in batches for row in b.signatures],
            FORECASTS: [row for _, b in batches for row in b.forecasts],
            DEVICE_STATES: [row for _, b in batches for row in b.devices],
        }
        highest: dict[str, int] = {}
        for agent, batch in batches:
            highest[agent] = max(batch.sequence, highest.get(agent, self.acknowledged(agent)))
        with _Transaction(self._writer):
            for table, new in rows.items():
                if parameters := table.parameters(new):
                    self._writer.execute(table.insert_sql(), parameters)
            for item in highest.items():
                self._writer.execute(_UPSERT, item)
        self._acknowledged |= highest

    def write_event(self, event: RaiseEvent) -> None:
        """Store an event; the same event at the same time is stored once."""
        self._writer.execute(EVENTS.insert_sql(), EVENTS.parameters([event]))

    def prune(self, now: datetime) -> None:
        """Delete raw samples and device states older than seven days."""
        before_ms = milliseconds(now - timedelta(days=RAW_DAYS))
        for table in (SAMPLES, DEVICE_STATES):
            delete = f"DELETE FROM {table.name} WHERE ts < epoch_ms(?::BIGINT)"  # noqa: S608 - constant names
            self._writer.execute(delete, [before_ms])

    def acknowledged(self, agent: str) -> int:
        """Highest sequence stored for an agent, -1 if none."""
        return self._acknowledged.get(agent, -1)

    def recent_power_w(self, steps: int) -> Mapping[str, Sequence[float]]:
        """Power of each server over its last steps, oldest first.

        All servers stand on the same grid, which ends at the newest step of any of them; a step
        that a server lacks is NaN.
        """
        newest, step_s = self._rows("SELECT max(ts), arg_max(step_s, ts) FROM signatures")[0]
        if newest is None:
            return {}
        recent = self._rows(
            "SELECT server, ts, power_w FROM signatures WHERE ts > ?",
            [newest - timedelta(seconds=steps * step_s)],
        )
        series: dict[str, list[float]] = {}
        for server, at, power_w in recent:
            back = round((newest - at).total_seconds() / step_s)
            line = series.setdefault(server, [math.nan] * steps)
            if back < steps:
                line[steps - 1 - back] = _number(power_w)
        return series

    def history(self, server: str, since: datetime) -> tuple[HistoryPoint, ...]:
        """Steps of a server from ``since`` on, oldest first."""
        found = self._rows(
            "SELECT ts, power_w, cpu_pct, quality FROM signatures"
            " WHERE server = ? AND ts >= epoch_ms(?::BIGINT) ORDER BY ts",
            [server, milliseconds(since)],
        )
        return tuple(
            HistoryPoint(_utc(at), _number(power_w), _number(cpu_pct), quality)
            for at, power_w, cpu_pct, quality in found
        )

    def events(self, limit: int) -> tuple[RaiseEvent, ...]:
        """The newest events, newest first."""
        found = self._rows(
            "SELECT severity, kind, text, ts FROM events ORDER BY ts DESC, rowid DESC LIMIT ?",
            [limit],
        )
        return tuple(RaiseEvent(Severity(s), kind, text, _utc(at)) for s, kind, text, at in found)

    def counts(self) -> Counts:
        """How much is stored."""
        names = [table.name for table in TABLES]
        each = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)  # noqa: S608 - constant names
        row = dict(zip(names, self._rows(f"SELECT {each}")[0], strict=True))
        kinds = dict(self._rows("SELECT kind, count(*) FROM forecasts GROUP BY kind"))
        return Counts(
            samples=row["samples"],
            signatures=row["signatures"],
            lstm=kinds.get(Kind.LSTM, 0),
            naive=kinds.get(Kind.NAIVE, 0),
            rows=sum(row.values()),
        )

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._root.cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def _create(self) -> None:
        for table in TABLES:
            self._writer.execute(table.create_sql())
            kept = [row[0] for row in self._writer.execute(f"DESCRIBE {table.name}").fetchall()]
            if kept != [column.name for column in table.columns]:
                raise ConfigError(
                    f"{self.path}: table {table.name} has other columns than this version writes;"
                    " remedy: move the file away, a new one is made"
                )
        self._writer.execute(_BATCHES)


class _Transaction:
    """BEGIN; COMMIT, or ROLLBACK if anything was raised."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, kind: object, *_: object) -> None:
        self._connection.execute("ROLLBACK" if kind else "COMMIT")


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # one thread: each statement is small, and the forecasts of a rack need the other cores
        return duckdb.connect(path, config={"threads": 1, "memory_limit": "512MB"})
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise ConfigError(
                f"{path}: in use by another process; remedy: end it, or choose another state_dir"
                f" ({error})"
            ) from error
        raise _damaged(path, error) from error
    except duckdb.Error as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: not a DuckDB file, or damaged; remedy: restore it, or move it and its .wal away"
        f" and a new one is made ({str(error).splitlines()[0]})"
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=EPOCH.tzinfo)
