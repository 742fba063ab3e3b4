"""Which database a URL means."""

from pathlib import Path
from urllib.parse import urlsplit

from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.engine import Engine
from wattcast_core.errors import ConfigError


def open_store(url: str, read_url: str = "") -> SqlStore:
    """Open a store and bring it up to date.

    Args:
        url: ``duckdb:FILE`` or ``postgresql://...``.
        read_url: a PostgreSQL to ask instead, as a replica.

    Raises:
        ConfigError: no such engine; or as of the engine.
        MissingExtraError: the driver of PostgreSQL is not installed.
        StoreUnavailable: the database does not answer.
    """
    return SqlStore(_engine(url, read_url))


def _engine(url: str, read_url: str) -> Engine:
    match urlsplit(url).scheme:
        case "duckdb":
            from wattcast_coordinator.store.duck import DuckEngine

            return DuckEngine(Path(url.removeprefix("duckdb:")))
        case "postgresql" | "postgres":
            from wattcast_coordinator.store.postgres import PostgresEngine

            return PostgresEngine(url, read_url)
        case _:
            raise ConfigError(
                f"store.url '{url}': give duckdb:FILE or postgresql://user@host/database"
            )
