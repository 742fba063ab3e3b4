"""What the served forecast is compared with: persistence, and LightGBM on the network's inputs.

Both are fitted on steps before the split only. Quantiles are [series, origin, horizon, 4] watts.
"""

from typing import Any

import numpy as np

from wattcast_coordinator.train import dataset
from wattcast_coordinator.train.backtest import STEPS_AHEAD
from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_coordinator.train.dataset import Places
from wattcast_coordinator.train.recordings import Panel as Recorded
from wattcast_coordinator.train.score import Trees
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import ordered
from wattcast_core.signal.steps import HORIZON
from wattcast_core.units import FloatArray

_MEDIAN = QUANTILES.index(0.5)
_CALIBRATE = 0.25  # last share of the fit window: learned margins, not trees
_CALIBRATE_EVERY = 4  # steps
_CHUNK = 1024  # windows at once


def persistence(level: Level, split: int, origins: int) -> FloatArray:
    """Now; the other quantiles from each series' own changes before the split."""
    power = level.channels[:, :, 0]
    change = np.stack([_quantiles(power[:, :split], ahead) for ahead in STEPS_AHEAD], axis=1)
    now = power[:, split : split + origins]
    return np.asarray(now[:, :, None, None] + change[:, None])


def trees(
    panel: Panel, level: Level, origins: int, windows: int, seed: int
) -> dict[str, FloatArray]:
    """LightGBM on the network's inputs, and the same with margins learned a series.

    Raises:
        MissingExtraError: LightGBM is absent.
    """
    cut = int(panel.split * (1.0 - _CALIBRATE))
    whole = Recorded(level.name, level.channels, panel.start_s, np.ones(len(level.ids)), cut)
    rng = np.random.default_rng(seed)
    drawn = dataset.draw(whole, windows, rng, held_out=False, augment=dataset.Augment())
    model = Trees(drawn, np.ones(len(drawn), np.float32), seed)
    steps = np.arange(panel.split, panel.split + origins)
    early = np.arange(cut, panel.split - HORIZON, _CALIBRATE_EVERY)
    rows = range(len(level.ids))
    plain = np.stack([_predicted(model, whole, row, steps) for row in rows])
    margins = [
        _margins(level.channels[row, :, 0], early, _predicted(model, whole, row, early))
        for row in rows
    ]
    moved = plain + np.stack(margins)[:, None]
    return {"lightgbm": plain, "lightgbm_conformal": ordered(moved)}


def _quantiles(power: FloatArray, ahead: int) -> FloatArray:
    """[series, 4] of the change in so many steps; the median is 0; NaN where nothing is known."""
    change = power[:, ahead:] - power[:, :-ahead]
    out = np.full((len(power), len(QUANTILES)), np.nan)
    for row, known in zip(out, (c[np.isfinite(c)] for c in change), strict=True):
        if len(known):
            row[:] = np.quantile(known, QUANTILES)
            row[_MEDIAN] = 0.0
    return out


def _predicted(model: Trees, series: Recorded, row: int, steps: Any) -> FloatArray:
    """[step, horizon, 4] watts."""
    parts = [steps[k : k + _CHUNK] for k in range(0, len(steps), _CHUNK)]
    return np.concatenate(
        [model.quantiles_w(dataset.inputs(series, Places(np.full(len(p), row), p))) for p in parts]
    )


def _margins(power: FloatArray, steps: Any, quantiles: FloatArray) -> FloatArray:
    """[horizon, 4] the quantile of what the forecasts missed; 0 where nothing is known."""
    out = np.zeros((len(STEPS_AHEAD), len(QUANTILES)))
    for place, ahead in enumerate(STEPS_AHEAD):
        miss = power[steps + ahead][:, None] - quantiles[:, place]
        miss = miss[np.isfinite(miss).all(axis=1)]
        if len(miss):
            pairs = zip(QUANTILES, miss.T, strict=True)
            out[place] = [np.quantile(column, q) for q, column in pairs]
    out[:, _MEDIAN] = 0.0
    return out
