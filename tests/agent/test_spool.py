import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from wattcast_agent.spool.store import Spool
from wattcast_core.errors import DataError

DRAINER = """
import random, sys
from pathlib import Path
from wattcast_agent.spool.store import Spool
spool = Spool(Path(sys.argv[1]), 100, max_bytes=4000)
print("high", spool.highest, flush=True)
for n in range(100_000):
    print("got", spool.append(b"x" * 100), flush=True)
    if n % 3 == 0:
        waiting = spool.pending(0, 2)
        print("acking", waiting[-1][0], flush=True)
        spool.ack(waiting[-1][0])
        print("acked", waiting[-1][0], flush=True)
"""
WRITER = """
import sys
from pathlib import Path
from wattcast_agent.spool.store import Spool
spool = Spool(Path(sys.argv[1]), 100)
for n in range(100_000):
    spool.put("token", str(n))
    print(spool.append(f"batch {n}".encode()), flush=True)
"""


@pytest.fixture
def spool(tmp_path):
    opened = Spool(tmp_path / "state" / "spool.db", 100)
    yield opened
    opened.close()


def test_batches_wait_in_order_until_they_are_acknowledged(spool):
    assert [spool.append(bytes([n])) for n in range(5)] == [100, 101, 102, 103, 104]
    spool.ack(101)
    assert spool.pending(101, 2) == [(102, b"\x02"), (103, b"\x03")]
    assert spool.count == 3


def test_a_sequence_is_never_given_twice(spool, tmp_path):
    spool.append(b"x")
    spool.ack(100)
    spool.close()
    again = Spool(tmp_path / "state" / "spool.db", 7)
    assert (again.highest, again.append(b"y")) == (100, 101)
    again.close()


def test_a_new_spool_numbers_on_after_what_was_acknowledged_before(spool):
    for n in range(3):
        spool.append(bytes([n]))
    spool.renumber(5000)
    assert [sequence for sequence, _ in spool.pending(0, 9)] == [5001, 5002, 5003]
    assert spool.append(b"x") == 5004
    spool.ack(5004)
    spool.renumber(6000)
    assert (spool.count, spool.append(b"y")) == (0, 6001)


def test_a_full_spool_drops_the_oldest_and_counts_it(tmp_path):
    spool = Spool(tmp_path / "spool.db", 1, max_bytes=100)
    for n in range(10):
        spool.append(bytes([n]) * 30)
    assert [sequence for sequence, _ in spool.pending(0, 100)] == [8, 9, 10]
    spool.append(b"b" * 500)
    assert [sequence for sequence, _ in spool.pending(0, 100)] == [11]
    spool.close()
    again = Spool(tmp_path / "spool.db", 1, max_bytes=100)
    assert (again.dropped, again.count) == (10, 1)
    again.close()


def test_texts_are_kept_beside_the_batches(spool):
    spool.put("hold/ats-1", "a")
    spool.put("hold/ats-1", "b")
    spool.put("held", "c")
    assert spool.under("hold/") == {"ats-1": "b"}
    spool.remove("hold/ats-1")
    assert (spool.get("hold/ats-1"), spool.get("held")) == (None, "c")


def test_a_file_that_is_no_spool_is_named_with_a_remedy(tmp_path):
    (tmp_path / "spool.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=r"spool\.db: .*remedy"):
        Spool(tmp_path / "spool.db", 1)


def _whole_lines(pipe):
    """What a killed process had told; it may have died in the middle of a line."""
    return [line for line in pipe.read().splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.e2e
def test_what_was_accepted_survives_a_kill(tmp_path):
    path = tmp_path / "spool.db"
    accepted = []
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            accepted += [int(writer.stdout.readline()) for _ in range(40)]
            os.kill(writer.pid, signal.SIGKILL)
            accepted += [int(line) for line in _whole_lines(writer.stdout)]
    spool = Spool(path, 1)
    kept = [sequence for sequence, _ in spool.pending(0, 10_000_000)]
    assert kept == list(range(100, 100 + len(kept)))
    assert set(accepted) <= set(kept)
    last = spool.pending(kept[-1] - 1, 1)[0][1].decode().split()[1]
    assert int(spool.get("token")) >= int(last)
    spool.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.e2e
@pytest.mark.slow
def test_a_spool_that_is_filled_and_drained_survives_a_kill_at_any_moment(tmp_path):
    path, highest, acked = tmp_path / "spool.db", 99, 0
    for turn in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", DRAINER, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline().split()]
            time.sleep(0.03 + 0.021 * turn)
            os.kill(child.pid, signal.SIGKILL)
            lines += [line.split() for line in _whole_lines(child.stdout)]
        told = [(word, int(number)) for word, number in lines]
        assert told[0][1] >= highest, "what was given stays given"
        given = [number for word, number in told if word == "got"]
        assert given == list(range(told[0][1] + 1, told[0][1] + 1 + len(given)))
        highest = max([highest, *given])
        acked = max([acked, *(number for word, number in told if word == "acked")])
        spool = Spool(path, 1, max_bytes=4000)
        waiting = [sequence for sequence, _ in spool.pending(0, 10_000)]
        assert waiting == list(range(waiting[0], spool.highest + 1)) if waiting else True
        assert all(sequence > acked for sequence in waiting)
        assert spool.count == len(waiting) <= 40
        spool.close()
    assert highest > 120
