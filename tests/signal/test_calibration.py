"""Pinball loss, conformal margins and the choice of forecaster."""

import math

import numpy as np
import pytest

from wattcast_core.forecast import Kind
from wattcast_core.signal import choice, conformal
from wattcast_core.signal.quantiles import LEVELS, coverage, pinball, weighted_quantiles


def calibrate(actual, quantiles):
    """Feed a series to the margins; returns the served quantiles of each step."""
    margins, served = conformal.start(1, 1), []
    for y in actual:
        now = conformal.calibrated(quantiles[None, None, :], margins, np.ones(1))
        served.append(now[0, 0])
        margins = conformal.learned(margins, np.array([[y]]), now)
    return np.array(served)


def test_the_pinball_loss_is_least_at_the_true_quantile():
    values = np.random.default_rng(1).normal(0.0, 1.0, 20_000)
    true = np.quantile(values, LEVELS)
    at = pinball(values, np.broadcast_to(true, (values.size, 4))).mean(axis=0)
    for shift in (-0.2, 0.2):
        moved = pinball(values, np.broadcast_to(true + shift, (values.size, 4))).mean(axis=0)
        assert (moved > at).all()


def test_weighted_quantiles_of_equal_weights_are_those_of_the_middle_weights():
    values = np.random.default_rng(2).normal(size=(3, 50))
    ours = weighted_quantiles(values, np.ones_like(values), LEVELS)
    np.testing.assert_allclose(ours, np.quantile(values, LEVELS, axis=1, method="hazen").T)


def test_weighted_quantiles_leave_out_weight_zero_even_if_not_a_number():
    values, weights = np.array([[1.0, math.nan, 2.0, 3.0]]), np.array([[1.0, 0.0, 1.0, 1.0]])
    assert weighted_quantiles(values, weights, np.array([0.5])).tolist() == [[2.0]]
    assert np.isnan(weighted_quantiles(values, np.zeros((1, 4)), np.array([0.5]))).all()


def test_margins_restore_coverage_after_a_shift_and_leave_the_median_alone():
    series = np.random.default_rng(3).normal(0.0, 1.0, 5000)
    series[500:] = series[500:] * 1.5 + 1.0
    fixed = np.quantile(series[:500], LEVELS)
    served = calibrate(series, fixed)
    late = slice(2500, None)
    before = coverage(series[late], np.broadcast_to(fixed, (2500, 4)))
    after = coverage(series[late], served[late])
    tails = [0, 2, 3]
    assert before[2] < 0.75
    assert (np.abs(after - LEVELS)[tails] < [0.03, 0.03, 0.01]).all()
    assert (served[:, 1] == fixed[1]).all()


def test_margins_are_bounded_and_quantiles_stay_ordered():
    served = calibrate(np.full(500, 100.0), np.zeros(4))
    assert served.max() == pytest.approx(conformal.BOUND)
    assert (np.diff(served, axis=1) >= 0).all()


def test_unknown_actuals_teach_nothing():
    margins = np.full((2, 3, 4), 0.5)
    after = conformal.learned(margins, np.full((2, 3), np.nan), np.zeros((2, 3, 4)))
    assert (after == margins).all()


def test_the_lower_trailing_pinball_is_served_and_says_why():
    lstm = choice.choose(3.1, 3.8, 24)
    assert lstm.kind is Kind.LSTM
    assert lstm.reason == "lstm: trailing pinball 3.1 W against 3.8 W naive over 24 issues"
    assert choice.choose(3.9, 3.8, 24).kind is Kind.NAIVE


@pytest.mark.parametrize(("lstm_w", "issues"), [(1.0, 2), (math.nan, 24)])
def test_a_model_that_was_not_judged_is_not_served(lstm_w, issues):
    chosen = choice.choose(lstm_w, 3.8, issues)
    assert chosen.kind is Kind.NAIVE
    assert "judged" in chosen.reason


def test_far_horizons_weigh_as_much_as_near_ones():
    losses = np.full((1, 3, 2), np.nan)
    losses[0, :, 0], losses[0, 0, 1] = 1.0, 5.0
    assert choice.trailing(losses).tolist() == [3.0]
    assert np.isnan(choice.trailing(np.full((1, 3, 2), np.nan))).all()
