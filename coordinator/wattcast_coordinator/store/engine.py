"""What the store asks of a database: Arrow tables in, rows out, transactions between."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.schema import Series

Rows = list[tuple[Any, ...]]
Read = Callable[[str, Sequence[Any]], pa.RecordBatchReader]  # SQL and parameters


class Session(Protocol):
    """One transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement; parameters are ``$1``, ``$2`` and so on."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run a query."""

    def stage(self, table: str, rows: pa.Table) -> None:
        """Make rows readable as ``new_TABLE`` until the end; ``table`` is one of STAGED."""

    def load(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table as they are."""

    def make_room(self, series: Series, days_ms: Sequence[int]) -> None:
        """Have a place for rows of these days (midnights, milliseconds since 1970)."""

    def add(self, series: Series, rows: pa.Table) -> None:
        """Stage rows and add those whose key is not there yet.

        Args:
            series: where they go.
            rows: distinct in the key; columns as of the series, and its staged ones.
        """


class Engine(Protocol):
    """A database; write from one thread, read from any.

    Attributes:
        name: ``duckdb`` or ``postgresql``.
        place: for people: which database it is; no password.
        schema_lock: statement that keeps others from changing the schema until the commit.
    """

    name: str
    place: str
    schema_lock: str

    def transaction(self) -> AbstractContextManager[Session]:
        """All or nothing; durable when it ends without an exception.

        Raises:
            StoreUnavailable: the database cannot be reached, or its disk is full.
        """

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run a query beside whatever is written.

        Raises:
            StoreUnavailable: as of ``transaction``.
        """

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """As ``rows``, for answers of thousands: no Python object a number is made."""

    def snapshot(self) -> AbstractContextManager[Read]:
        """What runs queries of any size, all on the same state, beside whatever is written."""

    def series_sql(self, name: str, columns: str, key: tuple[str, ...], /) -> Sequence[str]:
        """Statements that make a large table in the order of time (the last of its key)."""

    def drop_before(self, series: Series, day_ms: int) -> None:
        """Delete the rows of whole days before a midnight, in milliseconds since 1970."""

    def close(self) -> None:
        """Finish and let go."""
