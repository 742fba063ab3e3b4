"""What is asked of TimescaleDB and Citus, by stand-ins of the same signature.

Neither extension can be had here. The stand-ins note the call and leave an ordinary table.
"""

import subprocess
from datetime import timedelta

import pytest
from store_rows import START, batch

from wattcast_coordinator.store.database import SqlStore
from wattcast_tools.ingest.postgres_server import PostgresServer, binaries

NOTE = "CREATE TABLE calls (text text);\n"
STANDINS = {
    "timescaledb": NOTE
    + """CREATE FUNCTION by_range(text, interval) RETURNS text LANGUAGE sql AS
        $$ SELECT $1 || ' by ' || $2 $$;
    CREATE FUNCTION create_hypertable(regclass, text) RETURNS void LANGUAGE sql AS
        $$ INSERT INTO public.calls VALUES ('hypertable ' || $1 || ' ' || $2) $$;
    CREATE FUNCTION drop_chunks(regclass, older_than timestamp) RETURNS SETOF text LANGUAGE sql AS
        $$ INSERT INTO public.calls VALUES ('drop ' || $1 || ' ' || older_than) RETURNING text $$;
    """,
    "citus": NOTE
    + """CREATE FUNCTION create_distributed_table(regclass, text) RETURNS void LANGUAGE sql AS
        $$ INSERT INTO public.calls VALUES ('spread ' || $1 || ' by ' || $2) $$;
    """,
}


@pytest.fixture(scope="module")
def server():
    told = subprocess.check_output([binaries() / "postgres", "--version"], text=True)
    if int(told.split()[2].split(".")[0]) < 18:
        pytest.skip("missing prerequisite: PostgreSQL 18 (extension_control_path)")
    server = PostgresServer()
    try:
        folder = server.folder / "standins" / "extension"
        folder.mkdir(parents=True)
        for name, sql in STANDINS.items():
            control = "default_version = '1'\nrelocatable = true\n"
            (folder / f"{name}.control").write_text(control)
            (folder / f"{name}--1.sql").write_text(sql)
        server.create("--wal-segsize=1")
        server.start("fsync=off", f"extension_control_path={folder.parent}:$system")
        yield server
    finally:
        server.remove()


@pytest.mark.parametrize("extension", STANDINS)
def test_the_store_works_on_tables_that_an_extension_keeps(server, extension):
    from wattcast_coordinator.store.postgres import PostgresEngine

    server.sql(f"CREATE DATABASE {extension}")
    server.sql(f"CREATE EXTENSION {extension}", extension)
    store = SqlStore(PostgresEngine(server.url(extension)))
    for sequence in (0, 0, 1, 300):
        store.write("a", batch(sequence))
    assert store.counts().signatures == 6
    store.prune(START + timedelta(days=8, hours=1), 7, 90)
    calls = {text for (text,) in store.engine.rows("SELECT text FROM public.calls")}
    if extension == "citus":
        assert {"spread signatures by server", "spread samples by source"} <= calls
        assert store.counts().signatures == 2  # days are partitions here as well
    else:
        assert "hypertable signatures ts by 1 day" in calls
        assert "drop signatures 2026-01-02 00:00:00" in calls
    store.close()
