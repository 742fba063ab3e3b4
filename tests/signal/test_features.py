"""The model's input: gaps are told, level and size of a server are taken out, seasons are seen."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_core.signal.features import CANDIDATES, CHANNELS, CONTEXT, RECENT, build
from wattcast_core.signal.gaps import bridged, deviation, hold, mean, median
from wattcast_core.signal.steps import DAY, HISTORY, HORIZON, HOUR, WINDOW

END_S = np.array([1_700_000_100.0])


def history(power_w):
    out = np.full((1, HISTORY), np.nan)
    out[0, -len(power_w) :] = power_w
    return out


def window(past, cpu_pct=50.0):
    raw = np.full((1, WINDOW, len(CHANNELS)), 1000.0)
    raw[0, :, 0], raw[0, :, 1], raw[0, :, 2] = past[0, -WINDOW:], cpu_pct, 40.0
    return raw


def built(past, end_s=END_S):
    return build(window(past), past, end_s)


def recent(inputs, name):
    return inputs.recent[0, :, RECENT.index(name)]


def guess(inputs, name):
    return inputs.candidates[0, :, CANDIDATES.index(name)] * inputs.scale_w[0]


def wave():
    return history(300.0 + 20.0 * np.sin(np.arange(HISTORY) / 5.0))


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0), old=st.integers(0, HISTORY))
@settings(max_examples=40, deadline=None)
def test_any_gaps_leave_the_input_finite_and_the_masks_true(seed, share, old):
    rng = np.random.default_rng(seed)
    past = wave()
    past[0, rng.random(HISTORY) < share] = np.nan
    past[0, :old] = np.nan
    raw = window(past)
    raw[rng.random(raw.shape) < share] = np.nan
    raw[0, :, 0] = past[0, -WINDOW:]
    inputs = build(raw, past, END_S)
    assert all(np.isfinite(of).all() for of in inputs.parts().values())
    assert (recent(inputs, "power_known") == np.isfinite(raw[0, :, 0])).all()
    assert (inputs.scale_w > 0).all()


def test_a_missing_value_is_told_by_its_mask_not_by_a_zero():
    past = wave()
    past[0, -10] = np.nan
    inputs = built(past)
    assert recent(inputs, "power_known")[-10] == 0.0
    assert recent(inputs, "power")[-10] == recent(inputs, "power")[-11]
    past[0, -10] = 0.0
    assert recent(built(past), "power_known")[-10] == 1.0


def test_the_input_does_not_change_with_the_size_of_the_server():
    small, large = built(wave()), built(20.0 * wave())
    for name, of in small.parts().items():
        np.testing.assert_allclose(of, large.parts()[name], atol=1e-4)
    np.testing.assert_allclose(20.0 * small.scale_w, large.scale_w)


def test_the_anchor_is_the_last_known_power_and_its_age_is_counted():
    past = wave()
    past[0, -3:] = np.nan
    inputs = built(past)
    assert inputs.anchor_w[0] == np.float32(wave()[0, -4])
    assert inputs.age_steps[0] == 3


def test_a_history_without_power_has_no_anchor():
    inputs = built(np.full((1, HISTORY), np.nan))
    assert np.isnan(inputs.anchor_w[0])
    assert inputs.age_steps[0] == HISTORY


def test_scaled_changes_come_back_as_watts():
    inputs = built(wave())
    watts = inputs.to_watts(np.full((1, HORIZON, 4), 1.5))
    assert watts[0, 0, 0] == pytest.approx(inputs.anchor_w[0] + 1.5 * inputs.scale_w[0])


def test_a_job_that_runs_every_day_is_guessed_to_the_watt():
    """150 W more for half an hour, from the third step ahead on, at the same time of each day."""
    past = np.full(HISTORY, 200.0)
    for days in range(1, 8):
        first = HISTORY - 1 - days * DAY + 3
        past[first : first + 6] += 150.0
    inputs = built(history(past))
    expected = [0.0, 0.0, *[150.0] * 6, *[0.0] * 4]
    for name in ("yesterday", "a_week_ago", "days_mean", "days_median", "days_most"):
        np.testing.assert_allclose(guess(inputs, name), expected, rtol=1e-4)


def test_a_job_that_runs_every_hour_is_guessed_to_the_watt():
    past = np.full(HISTORY, 200.0)
    past[(np.arange(HISTORY) - HISTORY) % HOUR == 2] += 60.0
    inputs = built(history(past))
    expected = np.where(np.arange(HORIZON) % HOUR == 2, 60.0, 0.0)
    for name in ("an_hour_ago", "hours_mean", "hours_median"):
        np.testing.assert_allclose(guess(inputs, name), expected, rtol=1e-4)


def test_a_short_history_knows_no_seasons_and_says_so():
    inputs = built(history(300.0 + np.arange(20.0)))
    assert inputs.context[0, CONTEXT.index("known_week")] == pytest.approx(20 / HISTORY)
    np.testing.assert_array_equal(guess(inputs, "days_mean"), 0.0)


def test_the_time_of_day_comes_back_after_a_week():
    first, later = built(wave()), built(wave(), END_S + 7 * 86_400.0)
    np.testing.assert_allclose(first.context, later.context, atol=1e-5)
    half_day = built(wave(), END_S + 43_200.0)
    sine = CONTEXT.index("day_1_s")
    np.testing.assert_allclose(first.context[0, sine], -half_day.context[0, sine], atol=1e-5)


def test_gaps_hold_the_last_value_and_a_leading_gap_the_first():
    filled, known = hold(np.array([[np.nan, 2.0, np.nan, 4.0, np.nan]]))
    assert filled.tolist() == [[2.0, 2.0, 2.0, 4.0, 4.0]]
    assert known.tolist() == [[False, True, False, True, False]]


def test_a_long_gap_is_bridged_for_an_hour_only():
    series = np.array([[1.0, *[np.nan] * 14, 2.0]])
    out = bridged(series, np.isfinite(series))
    np.testing.assert_array_equal(out[0], [*[1.0] * 13, np.nan, np.nan, 2.0])


def test_statistics_of_what_is_known_agree_with_numpy():
    values = np.random.default_rng(1).normal(size=(5, 9, 3))
    values[np.random.default_rng(2).random(values.shape) < 0.4] = np.nan
    values[0, :, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns where nothing is known
        np.testing.assert_allclose(mean(values), np.nanmean(values, axis=1))
        np.testing.assert_allclose(deviation(values), np.nanstd(values, axis=1))
        np.testing.assert_allclose(median(values), np.nanmedian(values, axis=1))
