"""The model's input: gaps are masks, and level and size of a server are taken out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_core.signal.features import CHANNELS, INPUTS, WINDOW, build, hold

END_S = np.array([1_700_000_100.0])


def window(power_w, cpu_pct=50.0):
    raw = np.full((1, WINDOW, len(CHANNELS)), 1000.0)
    raw[0, :, 0], raw[0, :, 1], raw[0, :, 2] = power_w, cpu_pct, 40.0
    return raw


def column(inputs, name):
    return inputs.x[0, :, INPUTS.index(name)]


def wave():
    return 300.0 + 20.0 * np.sin(np.arange(WINDOW) / 5.0)


@given(holes=st.lists(st.booleans(), min_size=WINDOW * 7, max_size=WINDOW * 7))
@settings(max_examples=40, deadline=None)
def test_any_gaps_leave_the_input_finite_and_the_masks_true(holes):
    raw = window(wave())
    raw.reshape(-1)[np.array(holes)] = np.nan
    inputs = build(raw, END_S)
    assert np.isfinite(inputs.x).all()
    assert (column(inputs, "power_known") == np.isfinite(raw[0, :, 0])).all()
    assert (inputs.scale_w > 0).all()


def test_a_missing_value_is_told_by_its_mask_not_by_a_zero():
    raw = window(wave())
    raw[0, 30, 0] = np.nan
    inputs = build(raw, END_S)
    assert column(inputs, "power_known")[30] == 0.0
    assert column(inputs, "power")[30] == column(inputs, "power")[29]
    raw[0, 30, 0] = 0.0
    assert column(build(raw, END_S), "power_known")[30] == 1.0


def test_the_input_does_not_change_with_the_size_of_the_server():
    small, large = (build(window(k * wave()), END_S) for k in (1.0, 20.0))
    np.testing.assert_allclose(small.x, large.x, atol=1e-5)
    np.testing.assert_allclose(20.0 * small.scale_w, large.scale_w)


def test_the_anchor_is_the_last_known_power_and_its_age_is_counted():
    raw = window(wave())
    raw[0, -3:, 0] = np.nan
    inputs = build(raw, END_S)
    assert inputs.anchor_w[0] == wave()[-4]
    assert inputs.age_steps[0] == 3


def test_a_window_without_power_has_no_anchor():
    inputs = build(window(np.full(WINDOW, np.nan)), END_S)
    assert np.isnan(inputs.anchor_w[0])
    assert inputs.age_steps[0] == WINDOW


def test_scaled_changes_come_back_as_watts():
    inputs = build(window(wave()), END_S)
    change = np.full((1, 12, 4), 1.5)
    watts = inputs.to_watts(change)
    assert watts[0, 0, 0] == pytest.approx(inputs.anchor_w[0] + 1.5 * inputs.scale_w[0])


def test_the_time_of_day_comes_back_after_a_day():
    first, next_day = (build(window(wave()), END_S + shift) for shift in (0.0, 86_400.0))
    np.testing.assert_allclose(first.x, next_day.x, atol=1e-5)
    half_day = build(window(wave()), END_S + 43_200.0)
    np.testing.assert_allclose(column(first, "day_sin"), -column(half_day, "day_sin"), atol=1e-5)


def test_gaps_hold_the_last_value_and_a_leading_gap_the_first():
    filled, known = hold(np.array([[np.nan, 2.0, np.nan, 4.0, np.nan]]))
    assert filled.tolist() == [[2.0, 2.0, 2.0, 4.0, 4.0]]
    assert known.tolist() == [[False, True, False, True, False]]
