import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_agent.signature.builder import Builder
from wattcast_agent.signature.conservation import imbalance
from wattcast_agent.signature.layout import HostSpec, Layout
from wattcast_agent.signature.pace import next_poll_real_s, poll_period_real_s
from wattcast_agent.signature.rates import increase, rise
from wattcast_core.clock import DataClock, Segment
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality, Sample, missing
from wattcast_core.signature import FEATURES
from wattcast_core.units import from_epoch_s

STEP_S = 300.0
LAYOUT = Layout(
    hosts=(HostSpec("s1", 2), HostSpec("s2", 1)),
    cords={
        ("m1a", "inlet.1.power_w"): ("s1", 0),
        ("m1b", "inlet.1.power_w"): ("s1", 1),
        ("m2", "inlet.1.power_w"): ("s2", 0),
    },
    inlets={"pdu": frozenset({"m1a", "m2"})},
)


def at(seconds):
    return from_epoch_s(3_000_000.0 + seconds)


def power(meter, watts, seconds):
    return Sample(meter, "inlet.1.power_w", watts, at(seconds))


def counter(quantity, value, seconds):
    return Sample("s1", quantity, value, at(seconds))


def one_step(*samples):
    builder = Builder(LAYOUT, STEP_S)
    builder.add(samples, at(299))
    (signatures,) = builder.close(at(300))
    return {s.server: s for s in signatures}


def feature(signature, name):
    return signature.values[FEATURES.index(name)]


def test_a_step_holds_the_mean_power_of_each_cord():
    found = one_step(power("m1a", 100, 10), power("m1a", 110, 160), power("m1b", 50, 10))
    assert found["s1"].cords_w == (105, 50)
    assert (found["s1"].at, found["s1"].quality) == (at(0), Quality.GOOD)


def test_a_cord_without_a_good_reading_is_an_explicit_gap_with_its_quality():
    stale = Sample("m1b", "inlet.1.power_w", 50.0, at(10), Quality.STALE)
    found = one_step(power("m1a", 100, 10), stale, missing("m2", "inlet.1.power_w", at(10)))
    assert math.isnan(found["s1"].cords_w[1])
    assert math.isnan(found["s1"].power_w)
    assert (found["s1"].quality, found["s2"].quality) == (Quality.STALE, Quality.MISSING)


def test_volts_amperes_and_power_factor_are_told_beside_the_watts_where_they_are_read():
    volts = [Sample("m1a", "inlet.1.voltage_v", v, at(10 + v)) for v in (229.0, 231.0)]
    factor = Sample("m1b", "inlet.1.power_factor", 0.97, at(10))
    found = one_step(power("m1a", 100, 10), power("m2", 50, 10), *volts, factor)
    assert found["s1"].cords_v[0] == 230
    assert math.isnan(found["s1"].cords_v[1])
    assert math.isnan(found["s1"].cords_pf[0])
    assert found["s1"].cords_pf[1] == 0.97
    assert (found["s1"].cords_a, found["s2"].cords_v) == ((), ())


def test_duplicates_count_once_and_late_samples_find_their_open_step():
    builder = Builder(LAYOUT, STEP_S)
    builder.add([power("m2", 100, 200), power("m2", 100, 200), power("m2", 40, 100)], at(201))
    (first,) = builder.close(at(305))
    assert first[1].cords_w == (70,)
    builder.add([power("m2", 999, 250)], at(310))
    assert (builder.late, builder.close(at(310))) == (1, [])


def test_a_sample_of_the_future_is_not_taken():
    builder = Builder(LAYOUT, STEP_S)
    builder.add([power("m2", 100, 100_000)], at(10))
    builder.add([power("m2", 100, 20)], at(20))
    assert [s[1].cords_w for s in builder.close(at(301))] == [(100,)]


def test_counters_become_rates_over_step_boundaries():
    builder = Builder(LAYOUT, STEP_S)
    for seconds in (150, 299, 450, 599):
        builder.add([counter("net_rx_bytes_total", 1000 + 2 * seconds, seconds)], at(seconds))
    rates = [feature(s[0], "net_rx_bytes_per_s") for s in builder.close(at(600))]
    assert rates == [pytest.approx(2.0), pytest.approx(2.0)]


def test_cpu_and_pressure_are_shares():
    samples = [
        counter(q, v * k, t)
        for q, v in (
            ("cpu_seconds_total", 800.0),
            ("cpu_busy_seconds_total", 200.0),
            ("memory_pressure_seconds_total", 10.0),
        )
        for k, t in ((1, 10), (2, 210))
    ]
    found = one_step(*samples)["s1"]
    assert feature(found, "cpu_pct") == pytest.approx(25)
    assert feature(found, "memory_pressure_pct") == pytest.approx(5)


def test_what_users_ask_is_a_rate_or_a_level():
    rate = one_step(*(counter("user_load_total", 100 + 3 * t, t) for t in (10, 110)))
    assert feature(rate["s1"], "user_load_value") == pytest.approx(3)
    level = one_step(counter("user_load", 4.0, 10), counter("user_load", 6.0, 20))
    assert feature(level["s1"], "user_load_value") == 5
    assert math.isnan(feature(level["s2"], "user_load_value"))


def test_gauges_and_the_racks_air_are_means():
    air = [Sample(f"air{i}", "env.1.temperature_c", 20.0 + i, at(10)) for i in range(3)]
    found = one_step(*air, counter("load1", 2.0, 10), counter("load1", 4.0, 20))
    assert feature(found["s1"], "load1") == 3
    assert feature(found["s2"], "inlet_temperature_c") == 21
    assert math.isnan(feature(found["s2"], "load1"))


@pytest.mark.parametrize(
    ("before", "after", "risen"),
    [(5, 9, 4), (2.0**32 - 10, 5, 15), (2.0**64 - 4096, 0, 4096), (1000, 7, 7), (2.0**33, 5, 5)],
    ids=["rises", "wraps at 32 bit", "wraps at 64 bit", "restarts", "big counter restarts"],
)
def test_a_counter(before, after, risen):
    assert rise(before, after) == risen


def test_a_long_gap_says_nothing_about_the_step_it_ends_in():
    assert math.isnan(increase([(0.0, 0.0), (1000.0, 10.0)], max_gap_s=600).per_s)


def test_missed_steps_are_told_as_gaps_within_bounds():
    builder = Builder(LAYOUT, STEP_S)
    builder.add([power("m2", 100, 10)], at(10))
    closed = builder.close(at(3 * STEP_S))
    assert [s[1].quality for s in closed] == [Quality.GOOD, Quality.MISSING, Quality.MISSING]
    assert len(builder.close(at(1000 * STEP_S))) == 64


@given(
    st.lists(
        st.tuples(st.sampled_from(["m1a", "m2"]), st.floats(0, 2399), st.floats(0, 1e4)),
        max_size=60,
    )
)
def test_a_signature_is_the_mean_of_its_distinct_samples(readings):
    builder = Builder(LAYOUT, STEP_S)
    builder.add([power(m, w, t) for m, t, w in readings], at(2399))
    told = {(s.server, s.at): s for step in builder.close(at(2400)) for s in step}
    expected = {}
    for meter, t, w in readings:
        expected.setdefault((meter, t // STEP_S), {}).setdefault(at(t), w)
    for (meter, index), values in expected.items():
        server, cord = LAYOUT.cords[meter, "inlet.1.power_w"]
        mean = sum(values.values()) / len(values)
        assert told[server, at(index * STEP_S)].cords_w[cord] == pytest.approx(mean)


def test_meters_that_do_not_add_up_to_their_inlet_are_told():
    def poll(inlet_w, quality=Quality.GOOD):
        watts = {"pdu": inlet_w, "m1a": 500.0, "m2": 300.0}
        return {
            d: DeviceState(d, "x", at(0), quality, {"inlet.1.power_w": w}) for d, w in watts.items()
        }

    assert imbalance(LAYOUT, poll(820.0)) == {}
    assert "cords sum to 800 W but the inlet reads 1200 W" in imbalance(LAYOUT, poll(1200.0))["pdu"]
    assert imbalance(LAYOUT, poll(1200.0, Quality.STALE)) == {}


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ({"outlet.1.power_w": 300.0, "outlet.2.power_w": 480.0}, ""),
        ({"outlet.1.power_w": 300.0, "outlet.2.power_w": 280.0}, "outlets sum to 580 W"),
        ({"outlet.1.power_w": 300.0, "outlet.3.power_w": 280.0}, ""),
        ({"inlet.1.L1.power_w": 400.0, "inlet.1.L2.power_w": 100.0}, "lines sum to 500 W"),
        ({"inlet.1.L1.power_w": 400.0}, ""),
    ],
    ids=["adds up", "an outlet lies", "an outlet was not read", "a line lies", "one line"],
)
def test_outlets_and_lines_of_a_pdu_sum_to_its_inlet(readings, told):
    readings = {"inlet.1.power_w": 800.0} | readings
    pdu = DeviceState("p", "pdu", at(0), Quality.GOOD, readings)
    assert told in imbalance(LAYOUT, {"p": pdu}).get("p", "")
    assert bool(told) == ("p" in imbalance(LAYOUT, {"p": pdu}))


def test_polls_keep_an_even_beat_and_one_ends_each_step():
    clock = DataClock((Segment(1000.0, 0.0, 300.0), Segment(1010.0, 3000.0, 60.0)))
    now, polls = 1000.05, []
    while now < 1030:
        now = next_poll_real_s(clock, now, STEP_S, 1.0, 0.05)
        polls.append(now)
        now += 0.03
    data = [clock.now(p).timestamp() for p in polls]
    for end_s in range(300, 3000, 300):
        assert sum(end_s - 300 <= t < end_s for t in data) == 2
        assert max(t for t in data if t < end_s) == pytest.approx(end_s - 15, abs=1)
    for end_s in range(3600, 4200, 300):
        assert sum(end_s - 300 <= t < end_s for t in data) == 5
    assert poll_period_real_s(DataClock(), 0.0, 300.0, 1.0) == 1.0


def test_the_poll_after_a_boundary_is_due_in_the_next_step():
    due = next_poll_real_s(DataClock(), 600.2, 10.0, 4.0, 0.5)
    assert due - 600 == pytest.approx(10 / 3 - 0.5)
    assert next_poll_real_s(DataClock(), due, 10.0, 4.0, 0.5) - due == pytest.approx(10 / 3)
