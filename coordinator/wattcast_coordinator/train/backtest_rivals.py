"""What the served forecast is compared with: persistence, LightGBM, its own parts, sums.

All are fitted on steps before the split only. Quantiles are [series, origin, horizon, 4] watts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from wattcast_coordinator.aggregate import correlation
from wattcast_coordinator.train import dataset
from wattcast_coordinator.train.backtest import STEPS_AHEAD
from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_coordinator.train.recordings import Panel as Recorded
from wattcast_coordinator.train.score import Trees
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal import features, naive
from wattcast_core.signal.features import HORIZON, STEP_S, WINDOW, Float32Array, ModelInput
from wattcast_core.signal.quantiles import ordered
from wattcast_core.units import FloatArray

_AT = [h - 1 for h in STEPS_AHEAD]
_MEDIAN, _Q90, _Q99 = (QUANTILES.index(q) for q in (0.5, 0.9, 0.99))
_Z = np.array([-1.2816, 0.0, 1.2816, 2.3263])  # of a normal curve at QUANTILES
_ESTIMATE_EVERY = 12  # steps
_CALIBRATE = 0.25  # last share of the fit window: learned margins, not trees
_CALIBRATE_EVERY = 4  # steps
_CHUNK = 1024  # windows at once


def persistence(level: Level, split: int, origins: int) -> FloatArray:
    """Now; the other quantiles from each series' own changes before the split."""
    power = level.channels[:, :, 0]
    change = np.stack([_quantiles(power[:, :split], ahead) for ahead in STEPS_AHEAD], axis=1)
    now = power[:, split : split + origins]
    return np.asarray(now[:, :, None, None] + change[:, None])


def plain_naive(level: Level, split: int, origins: int) -> FloatArray:
    """The naive forecaster as it is, before calibration."""
    steps = np.arange(split, split + origins)
    rows = [
        np.concatenate(
            [
                naive.forecast(_windows(series, part)[:, :, 0], HORIZON)[:, _AT]
                for part in _chunks(steps)
            ]
        )
        for series in level.channels
    ]
    return np.stack(rows)


def plain_lstm(
    panel: Panel, level: Level, predict: Callable[[Float32Array], FloatArray], origins: int
) -> FloatArray:
    """The LSTM as it is, before calibration and choice."""
    steps = np.arange(panel.split, panel.split + origins)
    rows = []
    for series in level.channels:
        for part in _chunks(steps):
            inputs = _input(panel.start_s, series, part)
            rows.append(inputs.to_watts(predict(inputs.x))[:, _AT])
    out = np.concatenate(rows).reshape(len(level.ids), origins, len(_AT), len(QUANTILES))
    return np.asarray(out)


def trees(
    panel: Panel, level: Level, origins: int, windows: int, seed: int
) -> dict[str, FloatArray]:
    """LightGBM on the network's inputs, and the same with margins learned a series.

    Raises:
        MissingExtraError: LightGBM is absent.
    """
    cut = int(panel.split * (1.0 - _CALIBRATE))
    recorded = Recorded(level.name, level.channels, panel.start_s, np.ones(len(level.ids)), cut)
    rng = np.random.default_rng(seed)
    drawn = dataset.draw(recorded, windows, rng, held_out=False, augment=dataset.Augment())
    model = Trees(drawn, np.ones(len(drawn), np.float32), seed)
    steps = np.arange(panel.split, panel.split + origins)
    early = np.arange(cut, panel.split - HORIZON, _CALIBRATE_EVERY)
    plain = np.stack([_predicted(model, panel.start_s, row, steps) for row in level.channels])
    margins = [
        _margins(row[:, 0], early, _predicted(model, panel.start_s, row, early))
        for row in level.channels
    ]
    moved = plain + np.stack(margins)[:, None]
    return {"lightgbm": plain, "lightgbm_conformal": ordered(moved)}


def summed(level: Level, servers: Level, served_w: FloatArray, split: int) -> FloatArray:
    """Sums of servers' forecasts with their correlation, as the coordinator adds loads up.

    Near-normal sums: a deviation a server from its 0.9 and 0.99 quantile; a server without a
    forecast counts as not there, and an origin without any is not answered.

    Args:
        level: racks, feeds or all.
        servers: the server level.
        served_w: of the servers, [server, origin, horizon, 4].
        split: step of origin 0.
    """
    above = served_w - served_w[..., _MEDIAN : _MEDIAN + 1]
    sigma = 0.5 * (above[..., _Q90] / _Z[_Q90] + above[..., _Q99] / _Z[_Q99])
    median, sigma = np.nan_to_num(served_w[..., _MEDIAN]), np.nan_to_num(sigma)
    rho = _correlations(servers, split, served_w.shape[1])[None, :, None]
    mean = np.einsum("ns,soh->noh", level.shares, median)
    common = np.einsum("ns,soh->noh", level.shares, sigma) ** 2
    own = np.einsum("ns,soh->noh", level.shares**2, sigma**2)
    deviation = np.sqrt(rho * common + (1.0 - rho) * own)
    out = mean[..., None] + deviation[..., None] * _Z
    out[:, np.isnan(served_w).all(axis=(0, 2, 3))] = np.nan
    return np.asarray(out)


def _correlations(servers: Level, split: int, origins: int) -> FloatArray:
    """[origin] share of variance on the common factor, estimated anew every hour."""
    nobody = np.full(len(servers.ids), -1, np.int64)
    out = np.empty(origins)
    for first in range(0, origins, _ESTIMATE_EVERY):
        end = split + first + 1
        recent = servers.channels[:, max(0, end - WINDOW) : end, 0]
        by_name = dict(zip(servers.ids, recent.tolist(), strict=True))
        found = correlation.estimate(servers.ids, nobody, 0, by_name)
        out[first : first + _ESTIMATE_EVERY] = found.common
    return out


def _quantiles(power: FloatArray, ahead: int) -> FloatArray:
    """[series, 4] of the change in so many steps; the median is 0; NaN where nothing is known."""
    change = power[:, ahead:] - power[:, :-ahead]
    out = np.full((len(power), len(QUANTILES)), np.nan)
    for row, known in zip(out, (c[np.isfinite(c)] for c in change), strict=True):
        if len(known):
            row[:] = np.quantile(known, QUANTILES)
            row[_MEDIAN] = 0.0
    return out


def _windows(series: FloatArray, steps: Any) -> FloatArray:
    """[step, WINDOW, channel] that end with each step; NaN before the recording."""
    at = np.asarray(steps)[:, None] + np.arange(1 - WINDOW, 1)
    return np.where((at >= 0)[:, :, None], series[np.maximum(at, 0)], np.nan)


def _chunks(steps: Any) -> list[Any]:
    return [steps[k : k + _CHUNK] for k in range(0, len(steps), _CHUNK)]


def _predicted(model: Trees, start_s: float, series: FloatArray, steps: Any) -> FloatArray:
    return model.quantiles_w(_input(start_s, series, steps))


def _input(start_s: float, series: FloatArray, steps: Any) -> ModelInput:
    return features.build(_windows(series, steps), start_s + (steps + 1.0) * STEP_S)


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
