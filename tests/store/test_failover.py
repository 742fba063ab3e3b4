"""A primary dies in the middle of ingest: what was acknowledged is on the standby, once."""

import math
import threading
from datetime import UTC, datetime, timedelta

import pytest

from wattcast_coordinator.store.database import SqlStore
from wattcast_core.errors import StoreUnavailable
from wattcast_core.messages import Batch
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_tools.ingest.postgres_server import PostgresServer

START = datetime(2026, 1, 1, 23, 50, tzinfo=UTC)  # the partition changes in the middle
RACK = tuple(f"s{n}" for n in range(10))


def _batch(sequence):
    at = START + timedelta(seconds=10 * sequence)
    tags = Tags(rack="r1", application="shop" if sequence < 50 else "batch")
    row = (math.nan, *map(float, range(1, len(FEATURES))))
    return Batch(
        sequence, signatures=[Signature(s, at, 10.0, (sequence,), row, tags) for s in RACK]
    )


@pytest.fixture
def pair():
    servers = PostgresServer(16), PostgresServer(16)
    try:
        primary, standby = servers
        primary.create("--wal-segsize=1")
        primary.start("fsync=off")
        primary.sql("CREATE DATABASE wattcast")
        standby.copy_of(primary)
        standby.start("fsync=off")
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.sql("SELECT pg_reload_conf()")
        yield servers
    finally:
        for server in servers:
            server.remove()


@pytest.mark.e2e
@pytest.mark.slow
def test_no_acknowledged_row_is_lost_when_the_primary_dies(pair):
    from wattcast_coordinator.store.postgres import PostgresEngine

    primary, standby = pair
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{hosts}/wattcast"
    store = SqlStore(PostgresEngine(url, f"{url}?target_session_attrs=prefer-standby"))
    acknowledged, refused, stop = [], [], threading.Event()

    def ingest():
        sequence = 0
        while not stop.is_set():
            try:
                store.write("a", _batch(sequence))
            except StoreUnavailable as error:
                refused.append(str(error))
                stop.wait(0.05)
                continue
            acknowledged.append(sequence)
            sequence += 1

    thread = threading.Thread(target=ingest)
    thread.start()
    _until(lambda: len(acknowledged) > 60)
    primary.kill()
    before = len(acknowledged)
    standby.sql("SELECT pg_promote()")
    _until(lambda: len(acknowledged) > before + 60)
    stop.set()
    thread.join()

    assert "remedy: check the server" in refused[0]
    found = store.engine.rows(
        "SELECT server, count(*), count(DISTINCT ts) FROM signatures GROUP BY 1"
    )
    steps = len(acknowledged)
    assert sorted(found) == sorted((server, steps, steps) for server in RACK)
    assert store.acknowledged("a") == acknowledged[-1]
    spans = store.engine.rows("SELECT application, count(*) FROM servers GROUP BY 1 ORDER BY 1")
    assert spans == [("batch", 10), ("shop", 10)]
    store.close()


def _until(condition, patience_s=30.0):
    pause = threading.Event()
    for _ in range(int(patience_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("not in time")
