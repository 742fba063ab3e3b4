"""The state of a series: where its power stands, how it moved, and what time it is."""

import numpy as np
from numpy.typing import NDArray

from wattcast_core.signal import gaps
from wattcast_core.signal.steps import DAY, HISTORY, HOUR
from wattcast_core.units import RealArray

GUESSES = (  # levels that power may return to, as changes from now
    "mean_3",
    "mean_12",
    "mean_36",
    "mean_day",
    "mean_week",
    "max_12",
    "max_36",
    "max_day",
    "min_12",
    "min_36",
    "min_day",
)
_SPREADS = (6, HOUR, 36, DAY)
_CHANGES = (1, 3, 12)  # steps
NAMES = (
    *GUESSES,
    "max_week",
    "min_week",
    "deviation_12",
    "deviation_36",
    "deviation_day",
    *(f"mean_step_{span}" for span in _SPREADS),
    *(f"change_{span}_{past}" for past in ("day", "week") for span in _CHANGES),
    "rank_day",
    "rank_week",
    "known_day",
    "known_week",
    "age",
    *(f"{wave}_{part}" for wave in ("day_1", "day_2", "hour_1", "hour_2") for part in "sc"),
    "weekend",
    "scale_log10",
)
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_MONDAY = 4  # day 0 of the epoch was a Thursday: (days + 4) % 7 is 0 on a Sunday
_OLD = 12.0  # steps


def build(
    relative: RealArray, age: NDArray[np.int64], end_s: RealArray
) -> tuple[RealArray, RealArray]:
    """State of each series.

    Args:
        relative: [series, HISTORY] power from the anchor in units of the scale, NaN = gap.
        age: [series] steps since the anchor was measured.
        end_s: [series] epoch seconds at which the last step ends.

    Returns:
        [series, len(NAMES) - 1] (the scale is added by the caller) and the guesses
        [series, len(GUESSES)] as they are; NaN where nothing is known.
    """
    levels, extremes = _levels(relative)
    spreads = _spreads(relative)
    state = np.arcsinh(np.stack([*levels, *extremes, *spreads], axis=1))
    return np.column_stack([state, *_known(relative, age), *_clock(end_s)]), np.stack(levels, 1)


def _levels(relative: RealArray) -> tuple[list[RealArray], list[RealArray]]:
    means = [gaps.mean(relative[:, -span:]) for span in (3, HOUR, 36, DAY, HISTORY)]
    ends = [
        of(relative[:, -span:], axis=1)
        for of in (np.fmax.reduce, np.fmin.reduce)
        for span in (HOUR, 36, DAY, HISTORY)
    ]
    return [*means, *ends[0:3], *ends[4:7]], [ends[3], ends[7]]


def _spreads(relative: RealArray) -> list[RealArray]:
    step = np.abs(np.diff(relative[:, -DAY - 1 :], axis=1))
    return [
        *(gaps.deviation(relative[:, -span:]) for span in (HOUR, 36, DAY)),
        *(gaps.mean(step[:, -span:]) for span in _SPREADS),
        *(
            gaps.mean(np.abs(relative[:, -past + span :] - relative[:, -past:-span]))
            for past in (DAY, HISTORY)
            for span in _CHANGES
        ),
    ]


def _known(relative: RealArray, age: NDArray[np.int64]) -> list[RealArray]:
    counts = [np.isfinite(relative[:, -past:]).sum(axis=1) for past in (DAY, HISTORY)]
    below = [(relative[:, -past:] < 0).sum(axis=1) for past in (DAY, HISTORY)]
    rank = [b / np.maximum(n, 1) for b, n in zip(below, counts, strict=True)]
    share = [counts[0] / DAY, counts[1] / HISTORY]
    return [*rank, *share, np.minimum(age, _OLD) / _OLD]


def _clock(end_s: RealArray) -> list[RealArray]:
    waves = []
    for period_s in (_DAY_S, _HOUR_S):
        angle = 2.0 * np.pi * (end_s % period_s) / period_s
        waves += [of(k * angle) for k in (1, 2) for of in (np.sin, np.cos)]
    day = (end_s // _DAY_S + _MONDAY) % 7
    return [*waves, ((day == 0) | (day == 6)).astype(np.float64)]
