"""PostgreSQL 15 and later: rows go up as binary COPY, large tables are partitioned by day.

Connections are libpq's: several hosts, TLS, password file and service file work as everywhere.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs
import pyarrow.compute as pc  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store import partitions
from wattcast_coordinator.store.engine import Read, Rows, Session
from wattcast_coordinator.store.frames import days_ms
from wattcast_coordinator.store.schema import STAGED, Series
from wattcast_core.errors import ConfigError, MissingExtraError, StoreUnavailable

try:
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped] # has no types
except ImportError as error:
    raise MissingExtraError("adbc-driver-postgresql", "postgresql") from error

T = TypeVar("T")
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
        return self._answer(sql, parameters, lambda cursor: list(cursor.fetchall()))

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See ``Engine``."""
        return self._answer(sql, parameters, lambda cursor: cursor.fetch_arrow_table())

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
        """Daily partitions; the key finds a server's rows, an index on time the newest ones."""
        extensions = {name for (name,) in self.rows(partitions.EXTENSIONS_SQL)}
        return partitions.create_sql(name, columns, key, extensions)

    def drop_before(self, series: Series, day_ms: int) -> None:
        """See ``Engine``; a day is dropped as a table, at no cost of its rows."""
        with self.transaction() as session:
            if not session.rows(partitions.is_partitioned_sql(series))[0][0]:
                session.rows(partitions.drop_chunks_sql(series, day_ms))
                return
            for (part,) in session.rows(partitions.parts_sql(series)):
                if part < partitions.part_of(series, day_ms):
                    session.execute(f"DROP TABLE {part}")
        self._days = {part for part in self._days if not part.startswith(f"{series.name}_")}

    def close(self) -> None:
        """See ``Engine``."""
        self._give_up_transaction(drop=True)
        self._drop_idle()

    def _answer(self, sql: str, parameters: Sequence[Any], fetch: Callable[[Any], T]) -> T:
        with self._explained():
            try:
                return self._ask(sql, parameters, fetch)
            except Error as error:
                if not _is_transient(error):
                    raise
                self._drop_idle()  # connections to a server that has restarted since
                return self._ask(sql, parameters, fetch)

    def _ask(self, sql: str, parameters: Sequence[Any], fetch: Callable[[Any], T]) -> T:
        with self._reader() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters=tuple(parameters) or None)
            return fetch(cursor)

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            _close(connection)

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
            if not _is_transient(error):
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
        sound = _without_nul(rows)
        self._cursor.adbc_ingest(f"new_{table}", sound, mode="append", temporary=True)

    def load(self, table: str, rows: pa.Table) -> None:
        self._cursor.adbc_ingest(table, rows, mode="append")

    def make_room(self, series: Series, days_ms: Sequence[int]) -> None:
        missing = [ms for ms in days_ms if partitions.part_of(series, ms) not in self._days]
        if not missing:
            return
        if self.rows(partitions.is_partitioned_sql(series))[0][0]:
            self.execute(PostgresEngine.schema_lock)
            for day_ms in missing:
                self.execute(partitions.part_sql(series, day_ms))
        self._days |= {partitions.part_of(series, day_ms) for day_ms in missing}

    def add(self, series: Series, rows: pa.Table) -> None:
        """The primary key finds what is there already, also what another coordinator wrote."""
        self.make_room(series, days_ms(rows[series.time]))
        self.stage(series.name, rows)
        columns = ", ".join(f'"{name}"' for name in series.columns)
        self.execute(
            f"INSERT INTO {series.name} ({columns}) SELECT {columns} FROM new_{series.name}"
            " ON CONFLICT DO NOTHING"
        )


def _without_nul(rows: pa.Table) -> pa.Table:
    """PostgreSQL takes no NUL in a text, and refused the whole batch of an agent that sent one."""
    for place, column in enumerate(rows.columns):
        if pa.types.is_string(column.type):
            sound = pc.replace_substring(column, "\0", "")
            rows = rows.set_column(place, rows.column_names[place], sound)
    return rows


def _is_transient(error: Error) -> bool:
    return not error.sqlstate or error.sqlstate.startswith(_TRANSIENT)


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
