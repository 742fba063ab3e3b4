import asyncio
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store.duck import DuckStore
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.devices import DeviceState
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Batch
from wattcast_core.samples import Quality, Sample, missing
from wattcast_core.signature import FEATURES, Signature, Tags

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=300)
RACK = tuple(f"s{n}" for n in range(13))


def _batch(sequence, servers=("s1", "s2"), power_w=100.0, samples=4):
    at = START + sequence * STEP
    tags = Tags("site", "r1", "shop")
    cpu = (math.nan, *range(1, len(FEATURES)))
    return Batch(
        sequence,
        tuple(Sample(f"pdu{n}", "inlet.1.power_w", n * 1.5, at) for n in range(samples)),
        tuple(Signature(s, at, 300.0, (power_w, sequence), cpu, tags) for s in servers),
        tuple(
            Forecast(s, at, 300.0, ((1.0, 2.0, 3.0, 4.0),) * 12, kind, "why", "m1", 1.5)
            for s, kind in zip(servers, (Kind.LSTM, Kind.NAIVE), strict=False)
        ),
        (DeviceState("ats1", "ats", at, Quality.GOOD, {"ats.active_source": 1.0}),),
    )


@pytest.fixture
def store(tmp_path):
    store = DuckStore(tmp_path / "state" / "wattcast.duckdb")
    yield store
    store.close()


def test_a_replay_changes_nothing_and_the_highest_sequence_is_kept(store):
    assert store.acknowledged("a") == -1
    for sequence in (0, 1, 2, 1, 0):
        store.write("a", _batch(sequence))
    store.write_many([("a", _batch(2)), ("b", _batch(7)), ("b", _batch(7))])
    counts = store.counts()
    assert (counts.samples, counts.signatures, counts.lstm, counts.naive) == (16, 8, 4, 4)
    assert counts.rows == 16 + 8 + 8 + 4
    assert (store.acknowledged("a"), store.acknowledged("b")) == (2, 7)


def test_everything_is_there_after_reopening(store):
    store.write("a", _batch(3))
    store.write_event(RaiseEvent(Severity.WARNING, "n1", "loss of A", START))
    counts = store.counts()
    store.close()
    again = DuckStore(store.path)
    assert again.acknowledged("a") == 3
    assert again.counts() == counts
    assert again.events(5) == (RaiseEvent(Severity.WARNING, "n1", "loss of A", START),)
    again.close()


def test_recent_power_stands_on_one_grid_and_gaps_are_nan(store):
    for sequence in range(5):
        servers = ("s1",) if sequence == 3 else ("s1", "s2")
        store.write("a", _batch(sequence, servers))
    recent = store.recent_power_w(3)
    assert recent["s1"] == [102.0, 103.0, 104.0]
    assert recent["s2"][::2] == [102.0, 104.0]
    assert math.isnan(recent["s2"][1])
    assert DuckStore.recent_power_w(store, 8)["s1"][3:] == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_unknown_numbers_stay_unknown_and_history_starts_where_asked(store):
    store.write("a", _batch(0, power_w=math.nan))
    store.write("a", _batch(1))
    store.write("a", Batch(2, samples=(missing("pdu1", "inlet.1.power_w", START),)))
    first, second = store.history("s1", START)
    assert math.isnan(first.power_w)
    assert math.isnan(first.cpu_pct)
    assert (second.at, second.power_w) == (START + STEP, 101.0)
    assert len(store.history("s1", START + STEP)) == 1
    assert store.history("absent", START) == ()


def test_raw_samples_are_deleted_after_seven_days_and_signatures_stay(store):
    store.write("a", _batch(0))
    store.write("a", _batch(8 * 288))
    store.prune(START + timedelta(days=8))
    counts = store.counts()
    assert (counts.samples, counts.signatures) == (4, 4)


def test_a_failing_batch_is_stored_not_even_in_part(store):
    bad = Batch(1, samples=_batch(1).samples, signatures=("no signature",))
    with pytest.raises(AttributeError):
        store.write("a", bad)
    store.write("a", _batch(0))
    assert store.counts().samples == 4
    assert store.acknowledged("a") == 0


def test_a_damaged_file_and_one_of_other_columns_are_told_with_the_remedy(tmp_path):
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database" * 999)
    with pytest.raises(DataError, match="move it and its"):
        DuckStore(damaged)
    other = DuckStore(tmp_path / "other.duckdb")
    other._writer.execute("ALTER TABLE samples DROP COLUMN quality")
    other.close()
    with pytest.raises(ConfigError, match="table samples has other columns"):
        DuckStore(other.path)


@pytest.mark.e2e
def test_a_file_in_use_is_told_with_the_remedy(store):
    code = (
        "import sys; from pathlib import Path; from wattcast_core.errors import ConfigError\n"
        "from wattcast_coordinator.store.duck import DuckStore\n"
        "try: DuckStore(Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)"
    )
    told = subprocess.check_output([sys.executable, "-c", code, str(store.path)], text=True)
    assert "in use by another process" in told


def _write_on(path):
    store, sequence = DuckStore(path), 0
    while True:
        store.write("a", _batch(sequence, RACK, samples=200))
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
    store = DuckStore(path)
    assert store.acknowledged("a") >= acknowledged
    stored = store.counts()
    assert (stored.samples, stored.signatures) == tuple(
        n * (store.acknowledged("a") + 1) for n in (200, 13)
    )
    for sequence in range(acknowledged + 1):
        store.write("a", _batch(sequence, RACK, samples=200))
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
    await asyncio.gather(*(queue.write(f"a{n}", _batch(n, samples=200)) for n in range(100)))
    ticking.cancel()
    assert worst_s < 0.3
    assert (await queue.counts()).samples == 20_000
    assert queue.acknowledged("a99") == 99
    assert len((await queue.recent_power_w(4))["s1"]) == 4
    bad = Batch(200, signatures=("no signature",))
    with pytest.raises(AttributeError):
        await queue.write("a", bad)
    await queue.write("a", _batch(201))
    await queue.close()


if __name__ == "__main__":
    _write_on(Path(sys.argv[1]))
