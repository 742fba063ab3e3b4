"""Pinball loss, conformal margins and the choice of forecaster."""

import math

import numpy as np
import pytest

from wattcast_core.forecast import Kind
from wattcast_core.signal import choice, conformal
from wattcast_core.signal.conformal import SERVERS, SUMS, Margins
from wattcast_core.signal.quantiles import LEVELS, coverage, pinball, weighted_quantiles
from wattcast_core.signal.steps import HORIZON


def calibrate(actual, quantiles, rates=SERVERS):
    """Feed a series to the margins; returns the served quantiles of each step."""
    margins, served = Margins(rates), []
    for y in actual:
        now = margins.applied(np.tile(quantiles, (1, HORIZON, 1)))
        served.append(now[0, 0])
        margins.learn(np.array([y]), now)
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


@pytest.mark.parametrize("rates", [SERVERS, SUMS], ids=["servers", "sums"])
def test_margins_restore_coverage_after_a_shift_and_leave_the_median_alone(rates):
    series = np.random.default_rng(3).normal(0.0, 1.0, 9000)
    series[500:] = series[500:] * 1.5 + 1.0
    fixed = np.quantile(series[:500], LEVELS)
    served = calibrate(series, fixed, rates)
    late = slice(3000, None)
    before = coverage(series[late], np.broadcast_to(fixed, (6000, 4)))
    after = coverage(series[late], served[late])
    tails = [0, 2, 3]
    assert before[2] < 0.75
    assert (np.abs(after - LEVELS)[tails] < [0.03, 0.03, 0.01]).all()
    assert (served[:, 1] == fixed[1]).all()


def test_what_all_series_have_in_common_is_mended_faster_than_by_each_alone():
    rng, fixed = (
        np.random.default_rng(4),
        np.quantile(np.random.default_rng(5).normal(size=9999), LEVELS),
    )

    def covered(count):
        margins, below = Margins(), []
        for _ in range(300):
            served = margins.applied(np.tile(fixed, (count, HORIZON, 1)))
            actual = rng.normal(0.0, 2.0, count)
            below.append((actual <= served[:, -1, 2]).mean())
            margins.learn(actual, served)
        return np.mean(below[:])

    alone = np.mean([covered(1) for _ in range(40)])
    assert covered(40) > alone + 0.01


def test_margins_are_bounded_and_quantiles_stay_ordered():
    fixed = np.array([-1.0, 0.0, 1.0, 2.0])
    served = calibrate(np.full(3000, 100.0), fixed)
    assert served.max() <= 2.0 + conformal.BOUND * 2.0
    assert (np.diff(served, axis=1) >= 0).all()


def test_a_forecast_that_is_wide_just_now_is_moved_as_far_as_usual():
    """Two series with the same past; only the second one's forecast has just grown tenfold."""
    usual = np.tile([-1.0, 0.0, 1.0, 2.0], (2, HORIZON, 1))
    margins = Margins()
    for y in np.random.default_rng(7).normal(0.0, 1.5, 300):
        served = margins.applied(usual)
        margins.note(usual)
        margins.learn(np.array([y, y]), served)
    now = usual * [[[1.0]], [[10.0]]]
    moved = margins.applied(now) - now
    assert (moved[0, :, 2] > 0.1).all()
    np.testing.assert_allclose(moved[1], moved[0])


def test_the_share_covered_is_counted_as_it_came():
    margins, actual = Margins(), np.random.default_rng(6).normal(size=200)
    below = []
    for y in actual:
        served = margins.applied(np.tile([-1.0, 0.0, 1.0, 2.0], (1, HORIZON, 1)))
        below.append(y <= served[0, -1])
        margins.learn(np.array([y]), served)
    np.testing.assert_allclose(margins.covered[0, -1], np.mean(below, axis=0))


def test_unknown_actuals_teach_nothing():
    margins = Margins()
    served = margins.applied(np.tile([-1.0, 0.0, 1.0, 2.0], (2, HORIZON, 1)))
    margins.learn(np.full(2, np.nan), served)
    assert not margins.own.any()
    assert not margins.common.any()


def test_the_lstm_is_served_unless_it_lost_clearly_more_and_says_why():
    lstm = choice.choose(3.9, 3.8, 24)
    assert lstm.kind is Kind.LSTM
    assert lstm.reason == "trailing pinball LSTM 3.9 W, naive 3.8 W over 24 steps"
    assert choice.choose(3.8 * choice.WORSE + 0.1, 3.8, 24).kind is Kind.NAIVE


def test_a_model_that_was_not_judged_is_not_served():
    chosen = choice.choose(0.0, 3.8, 2)
    assert chosen.kind is Kind.NAIVE
    assert "judged" in chosen.reason


def test_a_record_follows_both_forecasters_where_both_are_known():
    record = choice.Record()
    for _ in range(10):
        record.add(np.array([[1.0, math.nan], [2.0, 3.0]]))
    assert record.count.tolist() == [10, 0]
    assert record.loss_w[:, 0].tolist() == [1.0, 2.0]
    for _ in range(200):
        record.add(np.array([[9.0, math.nan, 1.0], [2.0, 3.0, 4.0]]))
    assert [c.kind for c in record.choices()] == [Kind.NAIVE, Kind.NAIVE, Kind.LSTM]
