import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from store_rows import batch

from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.duck import DuckEngine
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.messages import Batch

RACK = tuple(f"s{n}" for n in range(13))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "wattcast.duckdb"


@pytest.fixture
def store(path):
    store = SqlStore(DuckEngine(path))
    yield store
    store.close()


def test_a_damaged_file_and_one_of_other_columns_are_told_with_the_remedy(tmp_path):
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database" * 999)
    with pytest.raises(DataError, match="move it and its"):
        DuckEngine(damaged)
    other = SqlStore(DuckEngine(tmp_path / "other.duckdb"))
    with other.engine.transaction() as session:
        session.execute("ALTER TABLE samples DROP COLUMN quality")
    other.close()
    with pytest.raises(ConfigError, match="table samples has other columns"):
        _ = SqlStore(DuckEngine(tmp_path / "other.duckdb")).engine


@pytest.mark.e2e
def test_a_file_in_use_is_told_with_the_remedy(store, path):
    code = (
        "import sys; from pathlib import Path; from wattcast_core.errors import ConfigError\n"
        "from wattcast_coordinator.store.duck import DuckEngine\n"
        "try: DuckEngine(Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)"
    )
    told = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)
    assert "in use by another process" in told


def _write_on(path):
    store, sequence = SqlStore(DuckEngine(path)), 0
    while True:
        store.write("a", batch(sequence, RACK, samples=200))
        sys.stdout.write(f"{sequence}\n")
        sys.stdout.flush()
        sequence += 1


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 23])
def test_no_acknowledged_batch_is_lost_when_the_writer_is_killed(tmp_path, batches):
    path = tmp_path / "w.duckdb"
    command = [sys.executable, __file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        told = [writer.stdout.readline() for _ in range(batches)]
        writer.kill()
        told += writer.stdout.read().splitlines()
    acknowledged = int(told[-1])
    store = SqlStore(DuckEngine(path))
    assert store.acknowledged("a") >= acknowledged
    stored = store.counts()
    assert (stored.samples, stored.signatures) == tuple(
        n * (store.acknowledged("a") + 1) for n in (200, 13)
    )
    for sequence in range(acknowledged + 1):
        store.write("a", batch(sequence, RACK, samples=200))
    assert store.counts() == stored
    store.close()


async def test_the_event_loop_goes_on_while_batches_are_written(store):
    queue = AsyncStore(store)
    worst_s, last_s, loop = 0.0, 0.0, asyncio.get_running_loop()

    async def tick():
        nonlocal worst_s, last_s
        while True:
            last_s = loop.time()
            await asyncio.sleep(0.001)
            worst_s = max(worst_s, loop.time() - last_s)

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(queue.write(f"a{n}", batch(n, samples=200)) for n in range(100)))
    ticking.cancel()
    assert worst_s < 0.3
    assert (await queue.counts()).samples == 20_000
    assert await queue.acknowledged("a99") == 99
    assert len((await queue.recent_power(4)).power_w["s1"]) == 4
    bad = Batch(200, signatures=("no signature",))
    with pytest.raises(AttributeError):
        await queue.write("a", bad)
    await queue.write("a", batch(201))
    await queue.close()


if __name__ == "__main__":
    _write_on(Path(sys.argv[1]))
