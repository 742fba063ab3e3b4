"""Which database a URL means."""

from pathlib import Path
from urllib.parse import urlsplit

from wattcast_configs.control import Control
from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.engine import Engine
from wattcast_core.errors import ConfigError


def open_store(url: str, read_url: str = "") -> SqlStore:
    """The store behind a URL; the schema of a PostgreSQL is looked at on first use.

    Args:
        url: ``duckdb:FILE`` or ``postgresql://...``.
        read_url: a PostgreSQL to ask instead, as a replica.

    Raises:
        ConfigError: no such engine, or another process owns the file.
        DataError: the file is damaged.
        MissingExtraError: the driver of PostgreSQL is not installed.
    """
    return SqlStore(_engine(url, read_url))


def engine_of(control: Control, folder: Path) -> Engine:
    """The database of a coordinator; see ``open_store``.

    Args:
        control: the coordinator's file; without ``store.url`` a DuckDB file in its state_dir.
        folder: where the file was read from: relative paths begin there.
    """
    url = control.store.url or f"duckdb:{Path(control.state_dir) / 'signatures.duckdb'}"
    if url.startswith("duckdb:"):
        url = f"duckdb:{folder / url.removeprefix('duckdb:')}"
    return _engine(url, control.store.read_url)


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
