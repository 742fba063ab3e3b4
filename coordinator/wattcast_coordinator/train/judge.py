"""Challenger against champion: both walk through the newest window, as an agent serves them."""

from collections.abc import Mapping

import numpy as np

from wattcast_coordinator.models.promotion import PERSISTENCE, SEASONAL, Judgement
from wattcast_coordinator.train import backtest, backtest_rivals
from wattcast_coordinator.train.backtest import STEPS_AHEAD, Room, Update
from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_coordinator.train.stored import Stored
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import coverage, pinball
from wattcast_core.signal.steps import DAY, STEP_S
from wattcast_core.units import FloatArray, from_epoch_s

_Q90, _MEDIAN = QUANTILES.index(0.9), QUANTILES.index(0.5)
_WARM_UP = 2 * DAY  # of calibration and choice, before the window
_MOST_SERIES = 200
_SEED = 1


def sample(stored: Stored, split: int) -> Stored:
    """At most _MOST_SERIES series with power in the window: a walk takes its time."""
    known = np.flatnonzero(np.isfinite(stored.channels[:, split:, 0]).any(axis=1))
    if len(known) > _MOST_SERIES:
        known = np.sort(np.random.default_rng(_SEED).choice(known, _MOST_SERIES, replace=False))
    servers, applications = (
        tuple(names[k] for k in known) for names in (stored.servers, stored.applications)
    )
    return Stored(stored.start_s, servers, applications, stored.channels[known])


def walk(stored: Stored, split: int, updates: Mapping[str, Update]) -> dict[str, FloatArray]:
    """Quantiles [series, origin, len(STEPS_AHEAD), 4] in watts, by forecaster; NaN: none.

    Args:
        stored: the series.
        split: first step of the window.
        updates: of a fresh forecaster each.
    """
    series, steps, _ = stored.channels.shape
    ids = tuple(f"{k}" for k in range(series))
    level = Level("server", ids, stored.channels, np.eye(series))
    panel = Panel(stored.start_s, split, (level,), stored.channels[:, :, 0])
    warm_up, origins = min(split, _WARM_UP), steps - split
    out = {
        name: backtest.walk(Room(panel, update, {}), warm_up, origins)[level.name].quantiles_w
        for name, update in updates.items()
    }
    out[PERSISTENCE] = backtest_rivals.persistence(level, split, origins)
    out[SEASONAL] = seasonal(stored.channels[:, :, 0], split)
    return out


def seasonal(power_w: FloatArray, split: int) -> FloatArray:
    """Yesterday's power at that time of day; its other quantiles from the days before ``split``.

    Args:
        power_w: [series, step].
        split: first origin.

    Returns:
        [series, origin, len(STEPS_AHEAD), 4], NaN where it is not known.
    """
    steps = power_w.shape[1]
    change = power_w[:, DAY:split] - power_w[:, : max(split - DAY, 0)]
    spread = np.full((len(power_w), len(QUANTILES)), np.nan)
    for row, line in zip(spread, change, strict=True):
        known = line[np.isfinite(line)]
        if len(known):
            row[:] = np.quantile(known, QUANTILES)
            row[_MEDIAN] = 0.0
    origin = np.arange(split, steps)
    places = [np.maximum(origin + ahead - DAY, 0) for ahead in STEPS_AHEAD]
    before = np.stack([power_w[:, place] for place in places], axis=2)
    return np.asarray(before[..., None] + spread[:, None, None, :])


def judge(
    stored: Stored, split: int, served: Mapping[str, FloatArray], application: str
) -> Judgement:
    """Losses over the targets that all forecasters answered; one that never did is left out.

    Args:
        stored: the series that were walked through.
        split: first step of the window.
        served: of ``walk``.
        application: whose series count.
    """
    mine = np.array([application in ("*", name) for name in stored.applications], bool)
    actual = _actual(stored.channels[:, :, 0], split)[mine]
    answers = {name: quantiles[mine] for name, quantiles in served.items()}
    given = {n: np.isfinite(q).all(axis=3) & np.isfinite(actual) for n, q in answers.items()}
    given = {name: there for name, there in given.items() if there.any()}
    both = np.logical_and.reduce(list(given.values())) if given else np.zeros(0, bool)
    steps = stored.channels.shape[1]
    since, until = (from_epoch_s(stored.start_s + k * STEP_S).isoformat() for k in (split, steps))
    if not both.any():
        return Judgement(application, 0, since, until)
    losses = {n: _round(pinball(actual[both], answers[n][both]).mean()) for n in given}
    covered = {n: _round(coverage(actual[both], answers[n][both])[_Q90]) for n in given}
    return Judgement(application, int(both.sum()), since, until, losses, covered)


def _actual(power_w: FloatArray, split: int) -> FloatArray:
    """[series, origin, len(STEPS_AHEAD)], NaN beyond the end."""
    origins = power_w.shape[1] - split
    padded = np.pad(power_w, ((0, 0), (0, max(STEPS_AHEAD))), constant_values=np.nan)
    parts = [padded[:, split + ahead : split + ahead + origins] for ahead in STEPS_AHEAD]
    return np.stack(parts, axis=2)


def _round(value: float) -> float:
    return round(float(value), 5)
