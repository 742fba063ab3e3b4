"""Every conformance test runs on both engines, each time in a database of its own."""

import itertools
import sys
from pathlib import Path

import pytest

from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.duck import DuckEngine
from wattcast_tools.ingest.postgres_server import PostgresServer

sys.path.insert(0, str(Path(__file__).parent))  # for store_rows
_NAMES = (f"t{n}" for n in itertools.count())


@pytest.fixture(scope="session")
def postgres():
    server = PostgresServer()
    try:
        server.create("--wal-segsize=1")
        server.start("fsync=off")
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request, tmp_path):
    """What opens a store on one and the same database."""
    if request.param == "duckdb":
        return lambda: DuckEngine(tmp_path / "state" / "signatures.duckdb")
    from wattcast_coordinator.store.postgres import PostgresEngine

    server, name = request.getfixturevalue("postgres"), next(_NAMES)
    server.sql(f"CREATE DATABASE {name}")
    return lambda: PostgresEngine(server.url(name))


@pytest.fixture
def store(place):
    store = SqlStore(place())
    yield store
    store.close()
