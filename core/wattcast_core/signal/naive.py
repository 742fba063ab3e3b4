"""The naive forecaster: now, plus what power did over so many steps in the window.

Increments over h steps that really happened, recent ones weighing more, are the distribution of
the change in h steps. A steady ramp has nothing but its own rise as increments, so it is followed;
noise has increments around 0, so its forecast stays. Where the window is too short for h steps, the
longest span it has is stretched: the trend with h, the spread with the root of h.
"""

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.gaps import BoolArray, hold
from wattcast_core.signal.quantiles import LEVELS, weighted_quantiles
from wattcast_core.units import FloatArray

LEAST_STEPS = 8
STEPS = 64  # of the past that it is given
_HALF_LIFE_STEPS = 24.0
_LEAST_INCREMENTS = 4  # of known power, a span
_WIDEN = 0.25  # of the spread beyond the 0.99 tail, which a few dozen increments know badly
_FLOOR_SHARE = 0.002  # of the level: no meter is better
_MEDIAN = QUANTILES.index(0.5)


def forecast(power_w: FloatArray, horizon: int) -> FloatArray:
    """Quantiles of power over the horizon.

    Args:
        power_w: [server, step] up to now, NaN = missing; the forecast starts at the last known
            value and spans the steps since then too.
        horizon: steps ahead.

    Returns:
        [server, horizon, 4] watts; NaN for servers with fewer than LEAST_STEPS known steps.
    """
    filled, known = hold(power_w)
    steps = power_w.shape[1]
    age = np.argmax(known[:, ::-1], axis=1)
    spans = horizon + int(age.max(initial=0))
    table = np.stack([_change(filled, known, span) for span in range(1, spans + 1)], axis=1)
    usable = np.isfinite(table[:, :, _MEDIAN])
    longest = np.where(usable, np.arange(1, spans + 1), 0)
    best = np.maximum.accumulate(longest, axis=1)
    wanted = age[:, None] + np.arange(horizon)
    source = np.take_along_axis(best, wanted, axis=1)
    change = np.take_along_axis(table, np.maximum(source - 1, 0)[:, :, None], axis=1)
    stretch = (wanted + 1.0) / np.maximum(source, 1)
    change = _stretched(change, stretch[:, :, None])
    out = filled[:, -1][:, None, None] + _widened(change, np.abs(filled[:, -1]))
    enough = (known.sum(axis=1) >= min(LEAST_STEPS, steps))[:, None] & (source > 0)
    return np.where(enough[:, :, None], out, np.nan)


def _change(filled: FloatArray, known: BoolArray, span: int) -> FloatArray:
    """[server, 4] quantiles of the change over ``span`` steps; NaN where too few are known."""
    if span >= filled.shape[1]:
        return np.full((len(filled), len(LEVELS)), np.nan)
    change = filled[:, span:] - filled[:, :-span]
    both = known[:, span:] & known[:, :-span]
    age = np.arange(change.shape[1])[::-1]
    weights = both * 0.5 ** (age / _HALF_LIFE_STEPS)
    quantiles = weighted_quantiles(change, weights, LEVELS)
    quantiles[both.sum(axis=1) < _LEAST_INCREMENTS] = np.nan
    return quantiles


def _stretched(change: FloatArray, factor: FloatArray) -> FloatArray:
    median = change[:, :, _MEDIAN : _MEDIAN + 1]
    return median * factor + (change - median) * np.sqrt(factor)


def _widened(change: FloatArray, level_w: FloatArray) -> FloatArray:
    floor = _FLOOR_SHARE * level_w[:, None]
    out = change.copy()
    out[:, :, 0] -= floor
    out[:, :, 2] += floor
    spread = change[:, :, 2] - change[:, :, 0]
    out[:, :, 3] = np.maximum(change[:, :, 3] + _WIDEN * spread, out[:, :, 2]) + floor
    return out
