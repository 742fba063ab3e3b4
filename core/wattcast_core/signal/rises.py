"""A rise that has lasted is expected to go on, damped.

A series that hardly moved for hours and now climbs step by step is new to a network that counts in
usual changes: it stays, or expects the way back. The steps themselves say where the load goes.
"""

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.steps import HORIZON
from wattcast_core.units import FloatArray, RealArray

_LASTED = 6  # steps: half an hour
_CLEAR = 1.2  # times the spread of the steps; a single jump among six reaches 0.4
_LEAST_SHARE = 0.002  # of the power, a step: a meter's own error
_DAMPING = 0.9  # of the rise, a step (Gardner and McKenzie, Management Science 31(10), 1985)
_MEDIAN = QUANTILES.index(0.5)


def expected(history_w: RealArray) -> FloatArray:
    """By how much power goes on rising.

    Args:
        history_w: [series, step] power up to now, NaN = not measured.

    Returns:
        [series, HORIZON] watts above now; 0 where there is no clear rise.
    """
    recent_w = np.asarray(history_w[:, -_LASTED - 1 :], np.float64)
    steps_w = np.diff(recent_w, axis=1)
    slope_w, spread_w = steps_w.mean(axis=1), steps_w.std(axis=1)
    clear = slope_w > np.maximum(_CLEAR * spread_w, _LEAST_SHARE * recent_w[:, -1])
    damped = np.cumsum(_DAMPING ** np.arange(1, HORIZON + 1))
    rise: FloatArray = np.where(clear, slope_w, 0.0)[:, None] * damped
    return rise


def followed(quantiles_w: FloatArray, now_w: RealArray, rise_w: FloatArray) -> FloatArray:
    """Quantiles [series, HORIZON, 4] lifted so that the median keeps up with the rise."""
    short_w = now_w[:, None] + rise_w - quantiles_w[:, :, _MEDIAN]
    lift_w = np.where(rise_w > 0.0, np.maximum(short_w, 0.0), 0.0)
    lifted: FloatArray = quantiles_w + lift_w[:, :, None]
    return lifted
