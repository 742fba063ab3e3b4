"""What power did at this time on other days and in this part of other hours.

Servers run jobs by the clock: the change from t to t + h at the same time of day, or at the same
minute of the last hours, is the best single hint at the change that comes.
"""

import numpy as np

from wattcast_core.signal import gaps
from wattcast_core.signal.steps import DAY, DAYS, HISTORY, HORIZON, HOUR
from wattcast_core.units import RealArray

HOURS = 6
GUESSES = (
    "yesterday",
    "two_days_ago",
    "three_days_ago",
    "a_week_ago",
    "days_mean",
    "days_median",
    "days_least",
    "days_most",
    "level_yesterday",
    "levels_mean",
    "levels_most",
    "an_hour_ago",
    "two_hours_ago",
    "hours_mean",
    "hours_median",
    "hours_most",
)
NAMES = (*GUESSES, "days_deviation", "hours_deviation", "days_known", "hours_known", "h", "root_h")

_AHEAD = np.arange(1, HORIZON + 1)
_NOW = HISTORY - 1
_DAY_AT = _NOW - DAY * np.arange(1, DAYS + 1)
_HOUR_AT = _NOW - HOUR * np.arange(1, HOURS + 1)
_DAY_AHEAD = _DAY_AT[:, None] + _AHEAD
_HOUR_AHEAD = _HOUR_AT[:, None] + _AHEAD


def build(relative: RealArray) -> tuple[RealArray, RealArray]:
    """Hints at each step of the horizon.

    Args:
        relative: [series, HISTORY] power from the anchor in units of the scale, NaN = gap.

    Returns:
        [series, HORIZON, len(NAMES)] and the guesses [series, HORIZON, len(GUESSES)] as they
        are; NaN where nothing is known.
    """
    level = relative[:, _DAY_AHEAD]
    days = level - relative[:, _DAY_AT][:, :, None]
    hours = relative[:, _HOUR_AHEAD] - relative[:, _HOUR_AT][:, :, None]
    guesses = np.stack(
        [
            *(days[:, k] for k in (0, 1, 2, 6)),
            gaps.mean(days),
            gaps.median(days),
            np.fmin.reduce(days, axis=1),
            np.fmax.reduce(days, axis=1),
            level[:, 0],
            gaps.mean(level),
            np.fmax.reduce(level, axis=1),
            hours[:, 0],
            hours[:, 1],
            gaps.mean(hours),
            gaps.median(hours),
            np.fmax.reduce(hours, axis=1),
        ],
        axis=2,
    )
    spreads = np.stack([gaps.deviation(days), gaps.deviation(hours)], axis=2)
    known = [np.isfinite(of).mean(axis=1) for of in (days, hours)]
    ahead = np.broadcast_to(_AHEAD / HORIZON, days.shape[::2])
    plain = np.stack([*known, ahead, np.sqrt(ahead)], axis=2)
    return np.concatenate([np.arcsinh(guesses), np.arcsinh(spreads), plain], axis=2), guesses
