"""A steady rise goes on; jumps, noise, falls and gaps are none."""

import numpy as np
import pytest

from wattcast_core.signal import rises
from wattcast_core.signal.steps import HORIZON


def flat_then(*tail):
    return np.array([[300.0] * 20 + list(tail)])


def test_a_steady_rise_goes_on_and_is_damped():
    (rise,) = rises.expected(flat_then(*(300.0 + 10.0 * k for k in range(1, 8))))
    assert rise[0] == pytest.approx(9.0)
    assert (np.diff(rise) > 0).all()
    assert (np.diff(rise, 2) < 0).all()
    assert rise[-1] < 10.0 * HORIZON


@pytest.mark.parametrize(
    "tail",
    [
        (300.0, 300.0, 300.0, 300.0, 300.0, 400.0),  # a jump
        (310.0, 290.0, 315.0, 285.0, 320.0, 325.0),  # noise
        (290.0, 280.0, 270.0, 260.0, 250.0, 240.0),  # a fall
        (300.1, 300.2, 300.3, 300.4, 300.5, 300.6),  # a meter's creep
        (310.0, 320.0, float("nan"), 340.0, 350.0, 360.0),
    ],
)
def test_anything_else_is_no_rise(tail):
    assert not rises.expected(flat_then(*tail)).any()


def test_only_what_falls_short_of_the_rise_is_lifted():
    quantiles_w = np.full((2, HORIZON, 4), [390.0, 400.0, 410.0, 420.0])
    quantiles_w[1] += 500.0
    lifted = rises.followed(quantiles_w, np.array([400.0, 400.0]), np.full((2, HORIZON), 30.0))
    np.testing.assert_allclose(lifted[0, 0], [420.0, 430.0, 440.0, 450.0])
    np.testing.assert_array_equal(lifted[1], quantiles_w[1])
    same = rises.followed(quantiles_w, np.array([400.0, 400.0]), np.zeros((2, HORIZON)))
    np.testing.assert_array_equal(same, quantiles_w)
