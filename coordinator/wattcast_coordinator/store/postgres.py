"""PostgreSQL 15 and later: rows go up as binary COPY, large tables are partitioned by day.

Connections are libpq's: several hosts, TLS, password file and service file work as everywhere.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.engine import Read, Rows, Session
from wattcast_coordinator.store.frames import days_ms
from wattcast_coordinator.store.schema import STAGED, Series
from wattcast_core.errors import ConfigError, MissingExtraError, StoreUnavailable
from wattcast_core.units import EPOCH

try:
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped] # has no types
except ImportError as error:
    raise MissingExtraError("adbc-driver-postgresql", "postgresql") from error

_OLDEST = 150_000
# A server that hangs must be given up in seconds, so that the next one is tried.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "wattcast",
}
# Classes of SQLSTATE that another try may not meet: connection, read-only, rollback, resources,
# operator intervention, system error. Without a state it was the connection.
_TRANSIENT = ("08", "25", "40", "53", "57", "58")


class PostgresEngine:
    """The scale-out engine.

    With several hosts in the URL, writes go to the one that takes them, so a promoted standby is
    found without a change of the file.
    """

    name = "postgresql"
    schema_lock = "SELECT pg_advisory_xact_lock(7443)"

    def __init__(self, url: str, read_url: str = "") -> None:
        """Prepare; the first use connects.

        Args:
            url: ``postgresql://user@host1,host2/database``; passwords belong into ``~/.pgpass``.
            read_url: for queries, as ``...?target_session_attrs=prefer-standby``; else ``url``.

        Raises:
            ConfigError: not a URL of PostgreSQL.
        """
        self._write_uri = _uri(url, {"target_session_attrs": "read-write"})
        self._read_uri = _uri(read_url, {}) if read_url else self._write_uri
        self.place = _without_password(url)
        self._writer: Any = None
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._days: set[str] = set()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """See ``Engine``."""
        days = set(self._days)
        with self._explained():
            try:
                if self._writer is None:
                    self._writer = _connect_writer(self._write_uri, self.place)
                with self._writer.cursor() as cursor:
                    yield _Session(cursor, days)
                self._writer.commit()
            except BaseException:
                self._give_up_transaction()
                raise
        self._days = days

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """See ``Engine``."""
        with self._explained(), self._reader() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters=tuple(parameters) or None)
            return list(cursor.fetchall())

    @contextmanager
    def snapshot(self) -> Iterator[Read]:
        """See ``Engine``."""
        with self._explained(), self._reader() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

            def read(sql: str, parameters: Sequence[Any]) -> pa.RecordBatchReader:
                cursor.execute(sql, parameters=tuple(parameters) or None)
                return cursor.fetch_record_batch()

            yield read
            cursor.execute("COMMIT")

    def series_sql(self, name: str, columns: str, key: tuple[str, ...], /) -> Sequence[str]:
        """Daily partitions; the key finds a server's rows, BRIN a stretch of time."""
        listed, time = f"{columns}, PRIMARY KEY ({', '.join(key)})", key[-1]
        return (
            f"CREATE TABLE {name} ({listed}) PARTITION BY RANGE ({time})",
            f"CREATE INDEX {name}_time ON {name} USING brin ({time})",
        )

    def drop_before(self, series: Series, day_ms: int) -> None:
        """See ``Engine``; a day is dropped as a table, at no cost of its rows."""
        parts = self.rows(
            "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
            f" WHERE i.inhparent = '{series.name}'::regclass"
        )
        first_kept = f"{series.name}_{_day(day_ms):%Y%m%d}"
        for (part,) in parts:
            if part < first_kept:
                with self.transaction() as session:
                    session.execute(f"DROP TABLE {part}")
        self._days = {part for part in self._days if not part.startswith(f"{series.name}_")}

    def close(self) -> None:
        """See ``Engine``."""
        self._give_up_transaction(drop=True)
        with self._lock:
            for connection in self._idle:
                _close(connection)
            self._idle = []

    def _give_up_transaction(self, *, drop: bool = False) -> None:
        if self._writer is None:
            return
        try:
            self._writer.rollback()
        except Error:
            drop = True
        if drop:
            _close(self._writer)
            self._writer = None

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = dbapi.connect(self._read_uri, autocommit=True)
        try:
            yield connection
        except BaseException:
            _close(connection)
            raise
        with self._lock:
            self._idle.append(connection)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            state = error.sqlstate
            if state and not state.startswith(_TRANSIENT):
                raise
            raise StoreUnavailable(
                f"{self.place}: nothing was stored, and agents keep what they sent"
                f" ({str(error).splitlines()[0]}); remedy: check the server, its disk and store.url"
            ) from error


class _Session:
    """See ``Session``.

    Args:
        days: names of the partitions that are there; new ones are added.
    """

    def __init__(self, cursor: Any, days: set[str]) -> None:
        self._cursor, self._days = cursor, days

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._cursor.execute(sql, parameters=tuple(parameters) or None)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        self.execute(sql, parameters)
        return list(self._cursor.fetchall())

    def stage(self, table: str, rows: pa.Table) -> None:
        self.execute(f"DELETE FROM new_{table}")
        self._cursor.adbc_ingest(f"new_{table}", rows, mode="append", temporary=True)

    def load(self, table: str, rows: pa.Table) -> None:
        self._cursor.adbc_ingest(table, rows, mode="append")

    def make_room(self, series: Series, days_ms: Sequence[int]) -> None:
        for day_ms in days_ms:
            day = _day(day_ms)
            part = f"{series.name}_{day:%Y%m%d}"
            if part not in self._days:
                self.execute(PostgresEngine.schema_lock)
                self.execute(
                    f"CREATE TABLE IF NOT EXISTS {part} PARTITION OF {series.name}"
                    f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
                )
                self._days.add(part)

    def add(self, series: Series, rows: pa.Table) -> None:
        """The primary key finds what is there already, also what another coordinator wrote."""
        self.make_room(series, days_ms(rows[series.time]))
        self.stage(series.name, rows)
        columns = ", ".join(f'"{name}"' for name in series.columns)
        self.execute(
            f"INSERT INTO {series.name} ({columns}) SELECT {columns} FROM new_{series.name}"
            " ON CONFLICT DO NOTHING"
        )


def _connect_writer(uri: str, place: str) -> Any:
    connection = dbapi.connect(uri)
    try:
        with connection.cursor() as cursor:
            _check_version(cursor, place)
            for table, columns in STAGED.items():
                listed = ", ".join(f'"{name}" {sql}' for name, sql in columns.items())
                cursor.execute(f"CREATE TEMP TABLE new_{table} ({listed}) ON COMMIT DELETE ROWS")
        connection.commit()
    except BaseException:
        _close(connection)
        raise
    return connection


def _check_version(cursor: Any, place: str) -> None:
    cursor.execute("SELECT current_setting('server_version_num')")
    version = int(cursor.fetchall()[0][0])
    if version < _OLDEST:
        major = version // 10_000
        raise ConfigError(f"{place}: PostgreSQL {major}; remedy: upgrade it to 15 or later")


def _close(connection: Any) -> None:
    with suppress(Error):
        connection.close()


def _uri(url: str, more: dict[str, str]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"'{url}' is not a postgresql:// URL; remedy: correct store.url")
    return urlunsplit(
        parts._replace(query=urlencode({**_PATIENCE, **more, **dict(parse_qsl(parts.query))}))
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"


def _day(ms: int) -> date:
    return (EPOCH + timedelta(milliseconds=ms)).date()
