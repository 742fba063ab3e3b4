"""Roll-ups, late rows, tables with validity and schema versions, in every database."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_rows import START, STEP, batch

from wattcast_coordinator.store import migrations
from wattcast_coordinator.store.contract import WorkloadPower
from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.dimensions import insert
from wattcast_core.columns import milliseconds
from wattcast_core.errors import ConfigError
from wattcast_core.messages import Batch
from wattcast_core.samples import Sample
from wattcast_core.signature import FEATURES, Signature

SECOND = timedelta(seconds=1)
BEGIN = datetime(2026, 1, 1)  # noqa: DTZ001 - as the database keeps it


def _readings(first, count, value=10.0, source="pdu1", name="inlet.1.power_w"):
    return Batch(0, tuple(Sample(source, name, value + n, START + (first + n) * 10 * SECOND)
                          for n in range(count)))  # fmt: skip


def _minutes(store, table="samples_1m"):
    columns = "readings, value, value_min, value_max"
    return store.engine.rows(f"SELECT {columns} FROM {table} ORDER BY source, ts")


def test_a_minute_is_added_up_once_it_has_ended_and_again_when_rows_come_late(store):
    store.write("a", _readings(0, 5))
    assert store.roll_up(START + 59 * SECOND, 7) == 0
    assert store.roll_up(START + 60 * SECOND, 7) == 1
    assert _minutes(store) == [(5, 12.0, 10.0, 14.0)]
    store.write("a", _readings(5, 3, 60.0))
    assert store.roll_up(START + 90 * SECOND, 7) == 1
    assert _minutes(store) == [(6, 20.0, 10.0, 60.0)]
    store.write("a", _readings(0, 8, 999.0))  # replays change nothing
    assert store.roll_up(START + 120 * SECOND, 7) == 2
    assert _minutes(store) == [(6, 20.0, 10.0, 60.0), (2, 61.5, 61.0, 62.0)]
    assert store.roll_up(START + 180 * SECOND, 7) == 0


def test_rows_that_come_after_their_raw_day_was_deleted_spoil_no_minute(store):
    store.write("a", _readings(0, 6))
    now = START + timedelta(days=9)
    store.prune(now, 7, 90)
    store.write("a", _readings(0, 1, 77.0))
    store.write("b", _readings(0, 1, 33.0, source="pdu2"))  # its rack was away for nine days
    store.prune(now + timedelta(days=1), 7, 90)
    assert _minutes(store) == [(6, 12.5, 10.0, 15.0), (1, 33.0, 33.0, 33.0)]
    assert store.counts().samples == 0


def test_a_signature_minute_holds_the_mean_of_every_quantity(store):
    for n, watts in enumerate((100.0, 200.0, 300.0)):
        rows = (
            Signature("s1", START + 20 * n * SECOND, 20.0, (watts,), (float(n),) * len(FEATURES)),
        )
        store.write("a", Batch(n, signatures=rows))
    store.roll_up(START + 60 * SECOND, 7)
    found = store.engine.rows(
        "SELECT steps, step_s, power_w, power_min_w, power_max_w, cpu_pct, inlet_humidity_pct"
        " FROM signatures_1m"
    )
    assert found == [(3, 20.0, 200.0, 100.0, 300.0, 1.0, 1.0)]


def test_feeds_follow_their_meters_through_a_change_and_show_the_newest_minute(store):
    store.describe({"pdu1": ("A", "r1", "pdu"), "pdu2": ("B", "r1", "pdu")}, START)
    store.write("a", _readings(0, 6))
    store.write("a", _readings(0, 6, 110.0, source="pdu2"))
    store.roll_up(START + 60 * SECOND, 7)
    store.describe({"pdu1": ("B", "r1", "pdu"), "pdu2": ("B", "r1", "pdu")}, START + 60 * SECOND)
    store.describe({"pdu1": ("B", "r1", "pdu"), "pdu2": ("B", "r1", "pdu")}, START + 90 * SECOND)
    store.write("a", _readings(6, 3))  # not added up yet
    store.write("a", _readings(6, 3, 110.0, source="pdu2"))
    assert _feeds(store) == [("A", 0, 12.5, 1), ("B", 0, 112.5, 1), ("B", 60, 122.0, 2)]


def _feeds(store):
    """Feed, seconds, watts and meters of each minute."""
    begin = milliseconds(START)
    return [
        (feed.feed, (at - begin) // 1000, watts, meters)
        for feed in store.feeds(START)
        for at, watts, meters in zip(feed.at_ms, feed.power_w, feed.meters, strict=True)
    ]


def test_a_meter_counts_once_by_its_own_total_or_by_the_sum_of_its_inlets(store):
    store.describe({"two": ("A", "r1", "pdu"), "total": ("B", "r1", "pdu")}, START)
    for source, name, watts in (
        ("two", "inlet.1.power_w", 100.0), ("two", "inlet.2.power_w", 20.0),
        ("two", "inlet.1.L1.power_w", 60.0), ("two", "outlet.1.power_w", 7.0),
        ("total", "device.power_w", 99.0), ("total", "inlet.1.power_w", 90.0),
        ("other", "inlet.1.power_w", 1.0),
    ):  # fmt: skip
        store.write("a", _readings(0, 1, watts, source, name))
    for _ in range(2):  # from raw rows, then from minutes
        assert _feeds(store) == [("A", 0, 120.0, 1), ("B", 0, 99.0, 1)]
        store.roll_up(START + 60 * SECOND, 7)


def test_a_server_that_changes_application_closes_one_row_and_opens_another(store):
    for sequence, application in enumerate(("shop", "shop", "batch", "batch")):
        store.write("a", batch(sequence, ("s1",), application=application))
    store.write("a", batch(1, ("s1",), application="shop"))
    found = store.engine.rows("SELECT application, valid_from, valid_to FROM servers ORDER BY 2")
    change = BEGIN + 2 * STEP
    assert found == [("shop", BEGIN, change), ("batch", change, datetime(9999, 12, 31))]  # noqa: DTZ001


@given(st.lists(st.sampled_from("AAAB"), min_size=1, max_size=9), st.randoms())
def test_what_was_seen_stays_as_seen_in_whatever_order_it_comes(seen, shuffle):
    order = list(enumerate(seen))
    shuffle.shuffle(order)
    spans = _inserted(order)
    for step, what in order:
        at = BEGIN + step * STEP
        assert [s.what for s in spans if s.since <= at < s.until] == [(what,)]
    assert all(a.until == b.since for a, b in pairwise(spans))
    assert spans[-1].until.year == 9999
    assert spans == _inserted(sorted(order))


def _inserted(sights):
    spans, newest = [], 0
    for step, what in sights:
        newest = max(newest, step)
        spans = insert(spans, (what,), BEGIN + step * STEP, STEP, BEGIN + newest * STEP)
    return spans


def test_late_rows_of_another_application_are_put_where_they_belong(store):
    for sequence, application in ((0, "A"), (9, "A"), (4, "B"), (5, "B"), (2, "A"), (12, "C")):
        store.write("a", batch(sequence, ("s1",), application=application))
    found = store.engine.rows("SELECT application, valid_from FROM servers ORDER BY 2")
    steps = [(what, (since - BEGIN) // STEP) for what, since in found]
    assert steps == [("A", 0), ("B", 4), ("A", 6), ("C", 12)]


def test_an_old_database_is_migrated_with_its_rows_when_it_is_opened(place):
    engine = place()
    migrations.migrate(engine, 1)
    with engine.transaction() as session:
        for step, application in enumerate(("shop", "shop", "batch", "shop")):
            at = BEGIN + step * STEP
            for table in ("signatures", "samples"):
                session.make_room(_series(table), [1767225600000])
            session.execute(
                "INSERT INTO signatures (server, ts, step_s, power_w, cords_w, quality, site, rack,"
                " application, version, os, user_load, criticality, cpu_pct) VALUES"
                f" ('s1', $1, 300, {100 + step}, NULL, 'good', 'x', 'r1', $2, '', '', '', 3, 5)",
                [at, application],
            )
            session.execute("INSERT INTO samples VALUES ('p', 'power_w', $1, 7, 'good')", [at])
        session.execute("INSERT INTO events VALUES ($1, 'info', 'k', 'old')", [BEGIN])
        session.execute("INSERT INTO batches VALUES ('a', 41)")
    engine.close()

    store = SqlStore(place())
    assert store.acknowledged("a") == 41
    assert [p.power_w for p in store.history("s1", START)] == [100, 101, 102, 103]
    assert [e.text for e in store.events(9)] == ["old"]
    spans = store.engine.rows("SELECT application, valid_from FROM servers ORDER BY valid_from")
    assert spans == [("shop", BEGIN), ("batch", BEGIN + 2 * STEP), ("shop", BEGIN + 3 * STEP)]
    store.write("a", batch(4, ("s1",)))
    assert store.roll_up(START + 9 * STEP, 7) == 5
    assert len(_minutes(store)) == 8
    store.close()
    engine = place()
    assert migrations.migrate(engine) == len(migrations.VERSIONS)
    engine.close()


def _series(name):
    from wattcast_coordinator.store.schema import SERIES

    return next(s for s in SERIES if s.name == name)


def test_a_database_of_a_newer_version_is_left_alone(place):
    engine = place()
    migrations.migrate(engine)
    with engine.transaction() as session:
        session.execute("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(ConfigError, match="made by a newer version of Wattcast"):
        migrations.migrate(engine)
    engine.close()


def test_who_believed_what_when_is_one_row_a_target_time(store):
    store.write("a", batch(0))
    found = store.engine.rows(
        "SELECT target, horizon_s, q10_w, q50_w, q90_w, q99_w, model_id FROM forecast_targets"
        " WHERE server = 's1' AND issued = $1 ORDER BY target",
        [BEGIN],
    )
    assert len(found) == 12
    assert found[-1] == (BEGIN + 12 * STEP, 3600.0, 1.0, 2.0, 3.0, 4.0, "m1")


def test_watts_of_workloads_are_kept_once_a_step(store):
    rows = [
        WorkloadPower(name, START, "s1", watts, 5.0) for name, watts in (("a", 10.0), ("b", 20.0))
    ]
    store.write_workloads(rows)
    store.write_workloads([*rows, WorkloadPower("a", START + STEP, "s2", 11.0, 5.0)])
    found = store.engine.rows(
        "SELECT workload, server, power_w, idle_w FROM workload_power ORDER BY 1, 2"
    )
    assert found == [("a", "s1", 10.0, 5.0), ("a", "s2", 11.0, 5.0), ("b", "s1", 20.0, 5.0)]
