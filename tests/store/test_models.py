"""What models are judged by and learn from, on both engines."""

import math
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_rows import START, STEP, batch

from wattcast_coordinator.store.steps import newest, steps
from wattcast_core.messages import Batch
from wattcast_core.models import ALL
from wattcast_core.signature import FEATURES, Signature, Tags


def fill(store, count):
    for k in range(count):
        application = "shop" if k < 8 else "mail"
        store.write("a", batch(k, ("s1", "s2"), power_w=100.0, application=application))


def test_forecasts_meet_what_came_step_for_step(store):
    fill(store, 20)
    until = START + 16 * STEP
    rows = store.judged(until - STEP, until)
    assert len(rows.application) == 6, "two servers, three horizons, one step"
    assert set(rows.target_ms.tolist()) == {int(until.timestamp() * 1000)}
    assert rows.actual_w.tolist() == [100.0 + 15] * 6, "the step that ends at the target"
    issued = sorted((until - n * STEP for n in (1, 3, 12)), reverse=True)
    before = sorted(100.0 + ((at - START) / STEP) - 1 for at in issued)
    assert sorted(set(rows.before_w.tolist())) == before
    assert np.array_equal(rows.quantiles_w, [[1.0, 2.0, 3.0, 4.0]] * 6)
    assert sorted(rows.application) == ["mail"] * 4 + ["shop"] * 2, "as it was when it was issued"
    assert len(rows.part("shop", rows.target_ms[0]).actual_w) == 2
    assert len(rows.part(ALL, rows.target_ms[0]).actual_w) == 6
    assert not len(store.judged(START + 40 * STEP, START + 41 * STEP).application)


@pytest.mark.parametrize("rolled", [False, True])
def test_training_steps_are_the_same_before_and_after_adding_up(store, rolled, tmp_path):
    fill(store, 12)
    fast = timedelta(seconds=10)
    store.write(
        "a",
        Batch(
            99,
            signatures=tuple(
                Signature("f", START + n * fast, 10.0, (float(n),), (math.nan,) * len(FEATURES),
                          Tags(application="shop"))
                for n in range(60)
            ),
        ),
    )  # fmt: skip
    if rolled:
        store.roll_up(START + 40 * STEP, 7.0)
    table = steps(store.engine, START, START + 11 * STEP)
    rows = table.to_pylist()
    first = int(START.timestamp() // 300)
    s1 = [r for r in rows if r["server"] == "s1"]
    assert [r["step"] - first for r in s1] == list(range(11))
    assert [r["power_w"] for r in s1] == [100.0 + k for k in range(11)]
    assert [r["application"] for r in s1] == ["shop"] * 8 + ["mail"] * 3
    assert s1[0]["cpu_pct"] is None
    assert s1[0]["memory_used_pct"] == 4.0
    fast_rows = [r["power_w"] for r in rows if r["server"] == "f"]
    assert fast_rows == pytest.approx([14.5, 44.5])
    assert newest(store.engine) == START + 11 * STEP
    path = tmp_path / "steps.parquet"
    assert store.steps_to_file(path, START, START + 11 * STEP) == len(rows)
    assert pq.read_table(path).to_pylist() == rows
