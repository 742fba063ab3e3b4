"""What holds in every database."""

import math
from datetime import timedelta

import pytest
from store_rows import START, STEP, batch

from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store.database import SqlStore
from wattcast_core.messages import Batch
from wattcast_core.samples import Sample, missing
from wattcast_core.signature import FEATURES, Signature, Tags


def test_a_replay_changes_nothing_and_the_highest_sequence_is_kept(store):
    assert store.acknowledged("a") == -1
    for sequence in (0, 1, 2, 1, 0):
        store.write("a", batch(sequence))
    store.write_many([("a", batch(2)), ("b", batch(7)), ("b", batch(7))])
    counts = store.counts()
    assert (counts.samples, counts.signatures, counts.lstm, counts.naive) == (16, 8, 4, 4)
    assert counts.rows == 16 + 8 + 8 + 4
    assert (store.acknowledged("a"), store.acknowledged("b")) == (2, 7)


def test_everything_is_there_after_reopening(store, place):
    store.write("a", batch(3))
    store.write_event(RaiseEvent(Severity.WARNING, "n1", "loss of A", START))
    counts = store.counts()
    store.close()
    again = SqlStore(place())
    assert again.acknowledged("a") == 3
    assert again.counts() == counts
    assert again.events(5) == (RaiseEvent(Severity.WARNING, "n1", "loss of A", START),)
    again.close()


def test_recent_power_stands_on_one_grid_and_gaps_are_nan(store):
    for sequence in range(5):
        servers = ("s1",) if sequence == 3 else ("s1", "s2")
        store.write("a", batch(sequence, servers))
    recent = store.recent_power(3).power_w
    assert recent["s1"] == [102.0, 103.0, 104.0]
    assert recent["s2"][::2] == [102.0, 104.0]
    assert math.isnan(recent["s2"][1])
    assert store.recent_power(8).power_w["s1"][3:] == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_unknown_numbers_stay_unknown_and_history_starts_where_asked(store):
    store.write("a", batch(0, power_w=math.nan))
    store.write("a", batch(1))
    store.write("a", Batch(2, samples=(missing("pdu1", "inlet.1.power_w", START),)))
    first, second = store.history("s1", START)
    assert math.isnan(first.power_w)
    assert math.isnan(first.cpu_pct)
    assert (second.at, second.power_w) == (START + STEP, 101.0)
    assert len(store.history("s1", START + STEP)) == 1
    assert store.history("absent", START) == ()


def test_raw_rows_go_after_seven_days_and_minutes_stay_for_ninety(store):
    store.write("a", batch(0))
    store.write("a", batch(8 * 288))
    now = START + timedelta(days=8, hours=1)
    store.prune(now, 7, 90)
    counts = store.counts()
    assert (counts.samples, counts.signatures, counts.lstm) == (4, 2, 2)
    assert [p.power_w for p in store.history("s1", START)] == [100.0, 100.0 + 8 * 288]
    store.prune(now + timedelta(days=91), 7, 90)
    assert store.history("s1", START) == ()


def test_a_failing_batch_is_stored_not_even_in_part(store):
    bad = Batch(1, samples=batch(1).samples, signatures=("no signature",))
    with pytest.raises(AttributeError):
        store.write("a", bad)
    store.write("a", batch(0))
    assert store.counts().samples == 4
    assert store.acknowledged("a") == 0


def test_a_text_with_nul_and_a_step_without_length_are_stored_as_far_as_they_go(store):
    odd = Batch(
        1,
        (Sample("p\0du", "inlet.1.power_w", 5.0, START),),
        (Signature("s1", START, math.nan, (1.0,), (0.0,) * len(FEATURES), Tags(os="li\0nux")),),
    )
    store.write("a", odd)
    store.write("a", batch(2))
    assert store.acknowledged("a") == 2
    assert store.counts().signatures == 3
    assert set(store.recent_power(1).power_w) == {"s1", "s2"}


def test_hours_hold_the_mean_and_the_peak_of_what_was_measured(store):
    for sequence in range(24):  # two hours of 5 minutes
        power_w = math.nan if sequence in (3, 4) else 100.0
        store.write("a", batch(sequence, ("s1",), power_w=power_w))
    first, second = store.hours(START)
    known = [100.0 + k for k in range(12) if k not in (3, 4)]  # the second cord draws k
    assert (first.server, first.at) == ("s1", START)
    assert first.mean_w == pytest.approx(sum(known) / len(known))
    assert first.peak_w == 111.0
    assert (second.at, second.peak_w) == (START + timedelta(hours=1), 123.0)
    assert store.hours(second.at) == (second,)
