"""Forecasts of days, from the same hours of past days: beyond what the forecasters reach.

A server's hour is the mean of that hour of day over the past days. Its deviation has three parts:
how much that hour differed from day to day (widened for having seen few days), how far the peak
within the hour lies above its mean, and a floor, since no week has seen everything.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import NormalDist

import numpy as np

from wattcast_coordinator.study.recording import Past
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.units import FloatArray, epoch_s

HOUR_S = 3600.0
LEAST_DAYS = 2
_DAY = 24
_FLOOR = 0.03  # of the mean
_PEAK_DEVIATIONS = 2.0  # a peak within an hour is taken to lie so many deviations above its mean
_Z = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])


def forecasts(past: Past, begin: datetime, hours: int) -> dict[str, Forecast]:
    """Hour by hour from ``begin``, of every server with at least LEAST_DAYS days known.

    Args:
        past: whole hours.
        begin: start of the first hour.
        hours: how many.
    """
    out = {}
    for server, mean_w in past.mean_w.items():
        mean, sigma = _hours_of_day(
            np.array(mean_w), np.array(past.peak_w.get(server, mean_w)), past.begin
        )
        if np.isnan(mean).any():
            continue
        at = (_hour(begin) + np.arange(hours)) % _DAY
        table = np.maximum(mean[at, None] + sigma[at, None] * _Z, 0.0)
        out[server] = Forecast(
            server=server,
            issued_at=begin,
            step_s=HOUR_S,
            quantiles_w=tuple(tuple(row) for row in table.tolist()),
            kind=Kind.NAIVE,
            reason="the same hours of past days",
            model_id="days",
            sampled_real_s=0.0,
        )
    return out


def recent(past: Past) -> Mapping[str, tuple[float, ...]]:
    """Hourly means, of which correlations are estimated."""
    return past.mean_w


def days_known(past: Past) -> int:
    """Days that the best-known server was measured in."""
    counts = [int(np.isfinite(series).sum()) for series in past.mean_w.values()]
    return max(counts, default=0) // _DAY


def _hours_of_day(
    mean_w: FloatArray, peak_w: FloatArray, begin: datetime
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation [24] by hour of day (UTC); NaN where too few days are known."""
    first = _hour(begin)
    days = -(-(first + len(mean_w)) // _DAY)
    by_day = np.full((2, days * _DAY), np.nan)
    by_day[:, first : first + len(mean_w)] = mean_w, peak_w
    means, peaks = by_day.reshape(2, days, _DAY)
    known = np.isfinite(means)
    count = known.sum(axis=0)
    total = np.where(known, means, 0.0).sum(axis=0)
    mean = np.where(count >= LEAST_DAYS, total / np.maximum(count, 1), np.nan)
    away = np.where(known, means - mean, 0.0)
    between = (away**2).sum(axis=0) / np.maximum(count - 1, 1) * (1 + 1 / np.maximum(count, 1))
    above = np.where(known, peaks - means, 0.0).sum(axis=0) / np.maximum(count, 1)
    within = (above / _PEAK_DEVIATIONS) ** 2
    return mean, np.sqrt(between + within + (_FLOOR * mean) ** 2)


def _hour(at: datetime) -> int:
    return int(epoch_s(at) // HOUR_S) % _DAY


def hour_floor(at: datetime) -> datetime:
    """Start of the hour."""
    return at - timedelta(seconds=epoch_s(at) % HOUR_S)
