"""Steps of level: a deployment, a machine switched on. They are told, not explained away."""

import numpy as np

from wattcast_core.signal.steps import DAY
from wattcast_core.units import RealArray

FRESH = 3  # steps for which a new level must have stood, and for which it is told
_LEAST_SCALES = 2.0


def find(history_w: RealArray, scale_w: RealArray) -> RealArray:
    """Watts by which power has just stepped out of all it did in a day; 0 where it has not.

    Args:
        history_w: [series, step], NaN = gap; at least a day long.
        scale_w: [series] usual change in an hour.
    """
    newest, day = history_w[:, -FRESH:], history_w[:, -DAY - FRESH : -FRESH]
    most, least = np.fmax.reduce(day, axis=1), np.fmin.reduce(day, axis=1)
    above = np.fmin.reduce(newest, axis=1) - most
    below = np.fmax.reduce(newest, axis=1) - least
    known = np.isfinite(newest).all(axis=1) & (np.isfinite(day).mean(axis=1) > 0.5)
    far = _LEAST_SCALES * scale_w
    step = np.where(above > far, above, np.where(below < -far, below, 0.0))
    return np.where(known, np.nan_to_num(step), 0.0)
