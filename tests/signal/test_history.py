"""A week of power: late readings find their place, and a gap in time is a gap."""

import numpy as np

from wattcast_core.signal.history import History
from wattcast_core.signal.steps import HISTORY, STEP_S


def test_steps_move_on_with_the_clock_and_silence_is_a_gap():
    history = History()
    history.record(10 * STEP_S, np.array([[1.0]]))
    history.record(13 * STEP_S, np.array([[4.0]]))
    np.testing.assert_array_equal(history.power_w[0, -4:], [1.0, np.nan, np.nan, 4.0])


def test_what_comes_late_is_put_in_and_unknown_erases_nothing():
    history = History()
    history.record(10 * STEP_S, np.array([[1.0, 2.0, np.nan]]))
    history.record(10 * STEP_S, np.array([[np.nan, np.nan, 3.0]]))
    np.testing.assert_array_equal(history.power_w[0, -3:], [1.0, 2.0, 3.0])


def test_a_view_between_two_steps_changes_nothing():
    history = History()
    history.record(10 * STEP_S, np.array([[1.0, 2.0]]))
    view = history.view(10 * STEP_S + 30.0, np.array([[1.5, 2.5]]))
    np.testing.assert_array_equal(view[0, -2:], [1.5, 2.5])
    np.testing.assert_array_equal(history.power_w[0, -2:], [1.0, 2.0])


def test_new_series_append_and_a_week_of_silence_leaves_nothing():
    history = History()
    history.record(10 * STEP_S, np.array([[1.0]]))
    history.record(11 * STEP_S, np.array([[2.0], [7.0]]))
    assert np.isnan(history.power_w[1, -2])
    history.record((20 + HISTORY) * STEP_S, np.array([[3.0], [8.0]]))
    assert np.isfinite(history.power_w).sum() == 2
