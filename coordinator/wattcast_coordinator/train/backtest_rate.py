"""Scores of a back-test: losses, coverage and overloads, a level, horizon and forecaster."""

from collections.abc import Mapping

import numpy as np

from wattcast_coordinator.train.backtest import MINUTES, STEPS_AHEAD
from wattcast_coordinator.train.backtest_panel import Level
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import coverage, pinball
from wattcast_core.units import FloatArray

NAMES = tuple(f"{level * 100:g}" for level in QUANTILES)
_MEDIAN, _Q90 = QUANTILES.index(0.5), QUANTILES.index(0.9)

Scores = dict[str, float]


def rate(
    level: Level, split: int, by_name: Mapping[str, FloatArray]
) -> dict[int, dict[str, Scores]]:
    """Scores by horizon in minutes and forecaster.

    Args:
        level: the series; what counts is where power is known at origin and target.
        split: step of origin 0.
        by_name: quantiles [series, origin, len(STEPS_AHEAD), 4] in watts, NaN = not answered.
    """
    power = level.channels[:, :, 0]
    out: dict[int, dict[str, Scores]] = {}
    for place, (ahead, minutes) in enumerate(zip(STEPS_AHEAD, MINUTES, strict=True)):
        out[minutes] = {
            name: _one(level.limit_w, power, split, ahead, quantiles[:, :, place])
            for name, quantiles in by_name.items()
        }
    return out


def _one(
    limit_w: float, power: FloatArray, split: int, ahead: int, quantiles: FloatArray
) -> Scores:
    origins = min(quantiles.shape[1], power.shape[1] - split - ahead)
    now = power[:, split : split + origins]
    actual = power[:, split + ahead : split + ahead + origins]
    wanted = np.isfinite(now) & np.isfinite(actual)
    served = quantiles[:, :origins]
    answered = wanted & np.isfinite(served).all(axis=2)
    count = int(wanted.sum())
    scores: Scores = {"n": count, "answered": float(answered.sum() / max(count, 1))}
    if not answered.any():
        return scores
    now, actual, served = now[answered], actual[answered], served[answered]
    away = np.abs(actual - served[:, _MEDIAN])
    stay = float(np.abs(actual - now).mean())
    losses = pinball(actual, served).mean(axis=0)
    scores["mae_w"] = float(away.mean())
    scores["skill"] = 1.0 - float(away.mean()) / max(stay, 1e-9)
    for name, loss, share in zip(NAMES, losses, coverage(actual, served), strict=True):
        scores[f"pinball{name}_w"], scores[f"coverage{name}"] = float(loss), float(share)
    return scores | (_overloads(limit_w, now, actual, served) if np.isfinite(limit_w) else {})


def _overloads(limit_w: float, now: FloatArray, actual: FloatArray, served: FloatArray) -> Scores:
    over, was, told = actual > limit_w, now > limit_w, served[:, _Q90] > limit_w
    hits, onset = int((over & told).sum()), over & ~was
    both = int(told.sum()) + int(over.sum())
    return {
        "overload_f1": 2.0 * hits / both if both else 0.0,
        "onset_recall": float((told & onset).sum() / max(1, int(onset.sum()))),
        "onsets": int(onset.sum()),
    }
