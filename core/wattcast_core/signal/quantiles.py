"""Arithmetic of quantile forecasts."""

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.units import FloatArray

LEVELS: FloatArray = np.array(QUANTILES)


def ordered(quantiles: FloatArray) -> FloatArray:
    """Sorted along the last axis: independent outputs may cross."""
    return np.sort(quantiles, axis=-1)


def pinball(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Pinball loss of each quantile; NaN where the actual is.

    Args:
        actual: [...] in the unit of the quantiles.
        quantiles: [..., 4] at LEVELS.

    Returns:
        [..., 4] losses in that unit.
    """
    miss = actual[..., None] - quantiles
    return np.maximum(LEVELS * miss, (LEVELS - 1.0) * miss)


def coverage(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Share of known actuals at or below each quantile, [4]; NaN if none is known."""
    known = np.isfinite(actual)
    if not known.any():
        return np.full(len(LEVELS), np.nan)
    below: FloatArray = (actual[known][:, None] <= quantiles[known]).mean(axis=0)
    return below


def weighted_quantiles(values: FloatArray, weights: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles of weighted values along the last axis, linear between the values' mid-weights.

    Args:
        values: [..., n]; those of weight 0 may be NaN.
        weights: [..., n] >= 0.
        levels: [m] in 0..1.

    Returns:
        [..., m]; NaN where all weights are 0.
    """
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=-1)
    value = np.take_along_axis(values, order, axis=-1)
    weight = np.take_along_axis(weights, order, axis=-1)
    total = weight.sum(axis=-1, keepdims=True)
    middle = (np.cumsum(weight, axis=-1) - 0.5 * weight) / np.where(total > 0, total, 1.0)
    last = np.maximum((weight > 0).sum(axis=-1) - 1, 0)[..., None]
    above = np.minimum((middle[..., None, :] < levels[:, None]).sum(axis=-1), last)
    below = np.maximum(above - 1, 0)
    at_low, at_high = (np.take_along_axis(middle, i, axis=-1) for i in (below, above))
    low, high = (np.take_along_axis(value, i, axis=-1) for i in (below, above))
    part = np.clip((levels - at_low) / np.maximum(at_high - at_low, 1e-12), 0.0, 1.0)
    return np.where(total > 0, low + part * (high - low), np.nan)
