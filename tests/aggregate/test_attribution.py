import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_coordinator.aggregate.attribution import attribute
from wattcast_coordinator.aggregate.usage import UsageMeter
from wattcast_coordinator.ports import Usage
from wattcast_core.samples import Sample

uses = st.one_of(st.just(math.nan), st.floats(-1, 1e12))
usages = st.builds(Usage, uses, uses, uses)
watts = st.floats(0, 1e5)


@given(
    watts,
    watts,
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100), min_size=1),
    st.dictionaries(st.sampled_from("abcdef"), usages),
)
def test_workloads_always_sum_to_the_measured_power(power_w, idle_w, sizes, used):
    found = attribute(power_w, idle_w, sizes, used)
    assert set(found) == set(sizes)
    assert sum(a.power_w for a in found.values()) == pytest.approx(power_w, rel=1e-9, abs=1e-9)
    assert sum(a.idle_w for a in found.values()) == pytest.approx(min(idle_w, power_w), abs=1e-6)
    assert all(a.power_w >= a.idle_w - 1e-9 >= -1e-9 for a in found.values())


def test_idle_goes_by_size_and_the_rest_by_use():
    used = {"big": Usage(cpu=0.0), "small": Usage(cpu=2.0)}
    found = attribute(180.0, 100.0, {"big": 3.0, "small": 1.0}, used)
    assert found["big"].power_w == pytest.approx(75)
    assert found["small"].power_w == pytest.approx(25 + 80)


def test_each_resource_has_its_part_and_one_that_is_not_known_of_all_has_none():
    used = {"a": Usage(1.0, 1e9, math.nan), "b": Usage(3.0, 1e9, 5.0)}
    found = attribute(116.0, 0.0, {"a": 1.0, "b": 1.0}, used)
    assert found["a"].power_w == pytest.approx(80 / 4 + 36 / 2)
    assert found["b"].power_w == pytest.approx(3 * 80 / 4 + 36 / 2)
    by_size = attribute(100.0, 0.0, {"a": 1.0, "b": 3.0}, {"a": Usage(cpu=1.0)})
    assert [by_size[n].power_w for n in "ab"] == pytest.approx([25, 75])


def test_power_that_is_not_known_is_given_to_nobody():
    assert attribute(math.nan, 50.0, {"a": 1.0}, {}) == {}
    assert attribute(100.0, 50.0, {}, {}) == {}
    assert np.isclose(attribute(100.0, 50.0, {"a": 0.0, "b": 0.0}, {})["a"].power_w, 50)


AT = datetime(2026, 1, 1, tzinfo=UTC)
PLACED = {"w1": "s1"}


def _sample(quantity, value, seconds, server="s1"):
    return Sample(server, f"workload.w1.{quantity}", value, AT + timedelta(seconds=seconds))


def test_counters_become_rates_and_a_restart_or_a_replay_spoils_none():
    meter = UsageMeter()
    meter.take([_sample("cpu_seconds_total", 100.0, 0), _sample("memory_bytes", 5.0, 0)])
    assert math.isnan(meter.usage(PLACED, AT)["w1"].cpu)
    meter.take([_sample("cpu_seconds_total", 150.0, 100), _sample("io_bytes_total", 7.0, 100)])
    meter.take([_sample("cpu_seconds_total", 100.0, 0)])
    assert meter.usage(PLACED, AT)["w1"].cpu == 0.5
    assert meter.usage(PLACED, AT)["w1"].memory == 5
    meter.take([_sample("cpu_seconds_total", 1.0, 200)])
    assert math.isnan(meter.usage(PLACED, AT)["w1"].cpu)


def test_use_is_known_only_where_the_workload_runs_and_while_it_is_fresh():
    meter = UsageMeter()
    for seconds in (0, 10):
        meter.take([_sample("cpu_seconds_total", 2.0 * seconds, seconds)])
    meter.take([Sample("s1", "inlet.1.power_w", 4.0, AT)])
    assert set(meter.usage(PLACED, AT)) == {"w1"}
    assert meter.usage({"w1": "s2"}, AT) == {}
    assert meter.usage(PLACED, AT + timedelta(seconds=11)) == {}
