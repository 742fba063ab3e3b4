"""Signatures of any step become model steps; gaps stay gaps; late ones find their place."""

import math

import numpy as np
import pytest

from wattcast_core.errors import DataError
from wattcast_core.samples import Quality
from wattcast_core.signal.steps import STEP_S, WINDOW
from wattcast_core.signal.window import SlidingWindow
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import from_epoch_s

T0 = 1_700_000_100.0 // STEP_S * STEP_S
ALWAYS = T0 + 1e9


def signature(k, power_w, *, step_s=STEP_S, server="s1", quality=Quality.GOOD, cords=None):
    at = from_epoch_s(T0 + k * step_s)
    return Signature(
        server, at, step_s, cords or (power_w,), (1.0,) * len(FEATURES), quality=quality
    )


def test_signatures_at_the_models_step_are_its_steps():
    window = SlidingWindow(STEP_S)
    window.place([signature(k, float(k)) for k in range(70)], ALWAYS)
    newest = [float(k) for k in range(70 - WINDOW, 70)]
    assert window.cut(window.end_s)[0, :, 0].tolist() == newest


def test_shorter_steps_are_averaged_on_a_window_that_slides_with_them():
    window = SlidingWindow(10.0)
    window.place([signature(k, float(k), step_s=10.0) for k in range(64)], ALWAYS)
    cut = window.cut(window.end_s)[0, :, 0]
    assert cut[-1] == np.mean(np.arange(34, 64))
    assert cut[-2] == np.mean(np.arange(4, 34))
    assert cut[-3] == np.mean(np.arange(4))
    assert np.isnan(cut[:-3]).all()


def test_a_step_that_does_not_divide_the_models_is_still_placed_by_its_middle():
    window = SlidingWindow(7.0)
    window.place([signature(k, 100.0, step_s=7.0) for k in range(43 * WINDOW)], ALWAYS)
    cut = window.cut(window.end_s)[0, :, 0]
    assert cut[-1] == pytest.approx(100.0)
    assert np.isfinite(cut).all()


@pytest.mark.parametrize(
    "broken",
    [
        signature(2, math.nan),
        signature(2, 5.0, quality=Quality.STALE),
        signature(2, -5.0),
        signature(2, 5.0, cords=(5.0, math.nan)),
    ],
    ids=["not a number", "stale", "negative", "one cord unknown"],
)
def test_doubtful_power_is_a_gap(broken):
    window = SlidingWindow(STEP_S)
    window.place([signature(0, 1.0), signature(1, 2.0), broken, signature(3, 4.0)], ALWAYS)
    cut = window.cut(window.end_s)[0]
    np.testing.assert_equal(cut[-4:, 0], [1.0, 2.0, math.nan, 4.0])
    assert cut[-2, 1] == 1.0


def test_a_late_signature_finds_its_place():
    window = SlidingWindow(STEP_S)
    window.place([signature(0, 1.0), signature(2, 3.0)], ALWAYS)
    window.place([signature(1, 2.0), signature(-500, 9.0)], ALWAYS)
    assert window.cut(window.end_s)[0, -3:, 0].tolist() == [1.0, 2.0, 3.0]


def test_a_signature_from_the_future_does_not_move_the_window():
    window = SlidingWindow(STEP_S)
    window.place([signature(0, 1.0)], ALWAYS)
    window.place([signature(1000, 9.0)], T0 + 2 * STEP_S)
    assert window.end_s == T0 + STEP_S


def test_servers_may_join_later():
    window = SlidingWindow(STEP_S)
    window.place([signature(0, 1.0), signature(1, 2.0, server="s2")], ALWAYS)
    np.testing.assert_equal(window.cut(window.end_s)[:, -2:, 0], [[1.0, np.nan], [np.nan, 2.0]])


def test_after_a_long_silence_nothing_old_is_left():
    window = SlidingWindow(STEP_S)
    window.place([signature(0, 1.0), signature(500, 2.0)], ALWAYS)
    cut = window.cut(window.end_s)[0, :, 0]
    assert cut[-1] == 2.0
    assert np.isnan(cut[:-1]).all()


def test_a_step_longer_than_the_models_is_refused_with_a_remedy():
    with pytest.raises(DataError, match=r"600 s.*remedy"):
        SlidingWindow(600.0)
