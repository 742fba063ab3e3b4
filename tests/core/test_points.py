import math

import pytest

from wattcast_core import points


@pytest.mark.parametrize(
    ("readings", "watts"),
    [
        ({"device.power_w": 1210, "inlet.1.power_w": 1200}, 1210),
        ({"inlet.1.power_w": 1701, "inlet.2.power_w": 1265, "inlet.1.L1.power_w": 9}, 2966),
        ({"outlet.1.power_w": 5, "inlet.1.power_factor": 1}, math.nan),
        ({}, math.nan),
    ],
)
def test_what_a_device_takes_is_its_own_total_or_what_its_inlets_take(readings, watts):
    assert points.power_w(readings) == pytest.approx(watts, nan_ok=True)


def test_a_supply_is_the_first_inlet_or_its_first_line():
    line = {"inlet.1.L1.voltage_v": 229.0}
    assert points.supply(line, "voltage_v") == 229
    assert points.supply(line | {"inlet.1.voltage_v": 230.0}, "voltage_v") == 230
    assert math.isnan(points.supply(line, "frequency_hz"))


def test_states_have_words_and_quantities_none():
    assert points.words_of("ats.source.A.available") == ("no", "yes")
    assert points.words_of("ats.active_source").index("B") == 2
    assert points.words_of("outlet.7.power_w") == ()
