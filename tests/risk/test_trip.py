"""Trip curves as data, and when devices trip under changing loads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_configs.curve import Curve, Variant
from wattcast_configs.curves import BUILT_IN, load_curve, load_curves
from wattcast_coordinator.risk.trip import (
    NOTHING_PROMISED,
    TripCurve,
    compiled,
    curve_for,
    trip_time_s,
    wear_until,
)
from wattcast_core.errors import ConfigError

UPS2000 = load_curves()["huawei_ups2000g"]
BREAKER = curve_for(load_curves()["iec60898_c"], "", 25.0)
EVERY = [
    pytest.param(compiled(curve, variant), id=f"{name} {variant.mode} {variant.ambient_to_c:g}")
    for name, curve in load_curves().items()
    for variant in curve.variant
]


@pytest.mark.parametrize("name", load_curves())
def test_every_curve_that_ships_names_its_source(name):
    curve = load_curve(BUILT_IN / f"{name}.toml")
    assert len(curve.source) > 40
    assert curve.variant


@pytest.mark.parametrize("curve", EVERY)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_trip_times_are_monotone_in_load(curve, data):
    load = st.lists(st.floats(0.3, 12.0), min_size=4, max_size=4)
    low = np.array([data.draw(load)])
    high = low * data.draw(st.floats(1.0, 2.0))
    before = data.draw(st.floats(0.0, 1.2))
    warmer = before * data.draw(st.floats(1.0, 1.5))
    sooner_s = trip_time_s(curve.time_s(high, warmer), 300.0)
    assert (sooner_s <= trip_time_s(curve.time_s(low, before), 300.0) + 1e-9).all()


@pytest.mark.parametrize("curve", EVERY)
def test_below_its_curve_a_device_never_trips(curve):
    below = np.full((1, 12), curve.ratio[0] - 1e-6)
    assert trip_time_s(curve.time_s(below, 0.9), 300.0) == np.inf


@pytest.mark.parametrize(
    ("ratio", "mode", "ambient_c", "seconds"),
    [
        (1.07, "line", 25.0, 600.0),
        (1.2, "line", 25.0, 60.0),
        (1.4, "line", 25.0, 3.0),
        (1.6, "line", 25.0, 0.5),
        (1.2, "line", 38.0, 30.0),
        (1.4, "battery", 38.0, 1.5),
    ],
)
def test_the_ups_table_by_mode_and_ambient(ratio, mode, ambient_c, seconds):
    assert curve_for(UPS2000, mode, ambient_c).time_s(np.array(ratio)) == pytest.approx(seconds)


def test_beyond_what_the_source_covers_nothing_is_promised():
    assert curve_for(UPS2000, "line", 45.0) is NOTHING_PROMISED
    assert trip_time_s(NOTHING_PROMISED.time_s(np.array([[1.001]])), 300.0) < 0.01


def test_a_trip_comes_at_the_very_moment_within_a_step():
    curve = TripCurve("line", "off", (1.05, 1.25, 1.5), (3600.0, 600.0, 60.0))
    times_s = curve.time_s(np.array([[1.25] * 4, [0.9, 1.5, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9]]))
    np.testing.assert_allclose(trip_time_s(times_s, 300.0), [600.0, 360.0, np.inf])
    worn = trip_time_s(times_s[:1], 300.0, worn=np.array([0.75]))
    np.testing.assert_allclose(worn, [150.0])
    later = trip_time_s(times_s[:1], 300.0, start_s=np.array([450.0]))
    np.testing.assert_allclose(later, [1050.0])
    assert wear_until(times_s[:1], 300.0, 100.0, np.array([400.0])) == pytest.approx(0.5)


def test_sub_minute_curves_trip_within_a_second():
    curve = curve_for(UPS2000, "line", 25.0)
    assert trip_time_s(curve.time_s(np.array([[1.6] * 12])), 300.0) == pytest.approx(0.5)


def test_earlier_load_shortens_a_thermal_devices_time():
    load = np.array([1.45])
    cold_s, warm_s, hot_s = (BREAKER.time_s(load, p)[0] for p in (0.0, 0.8, 1.05))
    above, borne = 1.45**2, 1.13**2
    factor = np.log((above - 0.64) / (above - borne)) / np.log(above / (above - borne))
    assert warm_s == pytest.approx(cold_s * factor)
    assert hot_s < warm_s < cold_s


def test_the_breaker_holds_its_conventional_current_and_trips_within_the_band():
    assert BREAKER.time_s(np.array(1.12)) == np.inf
    assert BREAKER.time_s(np.array(1.13)) == pytest.approx(3600.0)
    assert 1.0 < BREAKER.time_s(np.array(1.45)) < 3600.0
    assert BREAKER.time_s(np.array(2.55)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "cubic"}, "kind"),
        ({"then": "explode"}, "then"),
        ({"source": ""}, "source"),
        ({"variant": (Variant(points=((1.2, 5.0), (1.1, 9.0))),)}, "loads must rise"),
        ({"variant": (Variant(points=((1.1, 5.0), (1.2, 9.0))),)}, "times must not"),
        ({"variant": (Variant(points=((1.1, 5.0),), mode="asleep"),)}, "mode"),
    ],
)
def test_a_wrong_curve_is_explained(change, says):
    good = {"kind": "table", "then": "open", "source": "x", "variant": ()}
    with pytest.raises(ConfigError, match=says):
        Curve(**{**good, **change})


def test_a_wrong_curve_file_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "table"\nthen = "open"\nsource = ""\nvariant = []\n')
    with pytest.raises(ConfigError, match=r"mine\.toml.*source"):
        load_curve(path)
