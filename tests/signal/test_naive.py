"""The naive forecaster follows what the window shows, and no more."""

import numpy as np
import pytest

from wattcast_core.signal import naive

H = 12


def steps(n):
    return np.arange(n, dtype=float)


def test_a_ramp_is_followed():
    out = naive.forecast(200.0 + 3.0 * steps(64)[None, :], H)
    expected = 200.0 + 3.0 * (63 + 1 + steps(H))
    np.testing.assert_allclose(out[0, :, 1], expected)


def test_a_ramp_that_began_recently_is_followed_by_the_upper_quantiles():
    power = np.where(steps(64) < 44, 200.0, 200.0 + 4.0 * (steps(64) - 44))
    out = naive.forecast(power[None, :], H)
    future = 200.0 + 4.0 * (64 + steps(H) - 44)
    assert (out[0, :, 2] >= future - 1.0).all()
    assert (out[0, :, 1] > power[-1]).all()


def test_noise_is_not_taken_for_a_trend():
    power = 300.0 + np.random.default_rng(3).normal(0.0, 5.0, (200, 64))
    out = naive.forecast(power, H)
    assert abs((out[:, :, 1] - power[:, -1:]).mean()) < 1.0
    assert ((out[:, :, 2] - out[:, :, 0]) > 4.0).all()


def test_its_quantiles_cover_a_random_walk():
    walk = 500.0 + np.cumsum(np.random.default_rng(4).normal(0.0, 2.0, (1500, 64 + H)), axis=1)
    out = naive.forecast(walk[:, :64], H)
    below = (walk[:, 64:, None] <= out).mean(axis=(0, 1))
    assert 0.08 < below[0] < 0.25
    assert 0.75 < below[2] < 0.92
    assert below[3] > 0.88


@pytest.mark.parametrize("known", [8, 12, 30])
def test_a_short_history_suffices_from_eight_steps_on(known):
    power = np.full((1, 64), np.nan)
    power[0, -known:] = 100.0 + 2.0 * steps(known)
    out = naive.forecast(power, H)
    np.testing.assert_allclose(out[0, :, 1], power[0, -1] + 2.0 * (1 + steps(H)))
    power[0, :-7] = np.nan
    assert np.isnan(naive.forecast(power, H)).all()


def test_after_a_gap_the_trend_spans_it():
    power = 100.0 + 2.0 * steps(64)[None, :]
    power[0, -3:] = np.nan
    np.testing.assert_allclose(
        naive.forecast(power, H)[0, :, 1], 100.0 + 2.0 * (64 + steps(H)), rtol=1e-9
    )


def test_quantiles_are_ordered_and_a_constant_load_has_a_narrow_fan():
    out = naive.forecast(np.full((1, 64), 250.0), H)
    assert (np.diff(out, axis=-1) >= 0).all()
    assert (np.abs(out - 250.0) < 2.0).all()
