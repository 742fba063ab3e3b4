"""Series with gaps: NaN is a value that was not measured."""

import numpy as np
from numpy.typing import NDArray

from wattcast_core.units import FloatArray, RealArray

BoolArray = NDArray[np.bool_]
BRIDGE = 12  # steps over which the last known value stands in for a gap


def hold(series: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Fill gaps of [series, step] with the last known value (before the first: that one).

    Returns:
        The filled series (0 where nothing is known) and which of its values were measured.
    """
    known = np.isfinite(series)
    steps = np.arange(series.shape[1])
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = np.argmax(known, axis=1)[:, None]
    filled = np.take_along_axis(series, np.where(last >= 0, last, first), axis=1)
    return np.nan_to_num(filled, nan=0.0, posinf=0.0, neginf=0.0), known


def bridged(series: RealArray, known: BoolArray) -> RealArray:
    """[series, step] with gaps of up to BRIDGE steps held at the last known value; else NaN."""
    if known.all():
        return series
    steps = np.arange(series.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(known, steps, -1 - BRIDGE), axis=1)
    held = np.take_along_axis(series, np.maximum(last, 0), axis=1)
    return np.where(steps - last <= BRIDGE, held, np.nan)


def mean(values: RealArray, axis: int = 1) -> RealArray:
    """Mean of what is known along an axis; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def deviation(values: RealArray, axis: int = 1) -> RealArray:
    """Standard deviation of what is known along an axis; NaN where nothing is."""
    away = values - np.expand_dims(mean(values, axis), axis)
    return np.sqrt(mean(away * away, axis))


def median(values: RealArray) -> RealArray:
    """Median of what is known along axis 1 of [series, n, ...]; NaN where nothing is."""
    ranked = np.sort(values, axis=1)  # NaN come last
    count = np.isfinite(ranked).sum(axis=1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count // 2, 0)
    low = np.minimum(low, values.shape[1] - 1)
    high = np.minimum(high, values.shape[1] - 1)
    pair = np.take_along_axis(ranked, low, axis=1) + np.take_along_axis(ranked, high, axis=1)
    return 0.5 * pair[:, 0]
