"""Windows to learn from and to be judged by, built by the code the agent serves with.

How training windows differ from the recordings stands in AUGMENTATION (it goes into the manifest).
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from wattcast_coordinator.train.folds import fold_of
from wattcast_coordinator.train.recordings import Panel
from wattcast_core.signal.features import Float32Array, ModelInput, build
from wattcast_core.signal.steps import HISTORY, HORIZON, STEP_S, WINDOW
from wattcast_core.units import FloatArray

AUGMENTATION = (
    "Training windows, and one judged set: the load of a running data centre drifts (customers "
    "arrive, a rack fills), which a month of a trace shows too rarely. 40 % of windows get a "
    "synthetic linear drift of CPU use (1 h to 33 h long, begun before, in or after the newest six "
    "hours), 10 % a level shift inside these, carried over to power by the machine's own range. "
    "Meters of 0, 0.1, 1 and 4 W steps. Dropout, so that the model works without them: groups of "
    "inputs, single steps, the newest power readings, the older part of the history."
)
NAIVE_STEPS = 64  # that the naive forecaster reads
_SPAN = HISTORY + HORIZON
_NEAR = 64 + HORIZON  # steps in which drifts and shifts are seen
_CANDIDATES = 8  # drawn a window wanted at most: recordings have gaps
_LEAST_KNOWN = 48  # of the last NAIVE_STEPS steps of power
_GROUPS = ((1,), (2,), (3, 4), (5, 6))  # channels that go missing together
_DRIFT_STEPS = (12.0, 400.0)  # an hour to a day and more
_DRIFT_USE = 0.35  # standard deviation of a drift over window and horizon, 1 = full load
_METER_STEPS_W = (0.0, 0.1, 1.0, 4.0)
_LEAST_HISTORY = 8
_CHUNK = 64  # windows built at once: they fit the processor's cache


@dataclass(frozen=True, slots=True)
class Augment:
    """Shares of windows; all 0 leaves the recordings as they are."""

    drift: float = 0.0
    shift: float = 0.0
    dropout: float = 0.0
    meters: bool = False


TRAINING = Augment(drift=0.4, shift=0.1, dropout=1.0, meters=True)
DRIFTING = Augment(drift=1.0)
PANEL = Augment(dropout=0.4)  # of a panel's own model: it forecasts the machines it learned from


class Places(NamedTuple):
    """Windows of a panel: series and the step their newest reading belongs to, [n] each."""

    series: NDArray[np.int64]
    step: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows and what followed.

    Attributes:
        input: the network's input, [n] windows.
        past_w: [n, NAIVE_STEPS] power up to now (the naive forecaster reads it).
        target_w: [n, HORIZON] power that followed.
        fold: [n] the member of an ensemble that does not learn from it.
    """

    input: ModelInput
    past_w: FloatArray
    target_w: FloatArray
    fold: NDArray[np.int64]

    @property
    def scaled(self) -> Float32Array:
        """[n, HORIZON] change from the anchor in units of the scale."""
        change = self.target_w - self.input.anchor_w[:, None]
        return (change / self.input.scale_w[:, None]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.target_w)


def draw(
    panel: Panel, count: int, rng: np.random.Generator, *, held_out: bool, augment: Augment
) -> Examples:
    """Draw ``count`` windows at random whose future lies before or (held out) after the split.

    A held out window's history reaches back before the split, as it does on the edge.
    """
    places = _places(panel, count, rng, held_out=held_out)
    parts = [
        _examples(panel, Places(*(of[k : k + _CHUNK] for of in places)), rng, augment)
        for k in range(0, max(len(places.step), 1), _CHUNK)
    ]
    return join(parts)


def inputs(panel: Panel, places: Places) -> ModelInput:
    """The network's input at given places, as recorded."""
    parts = [
        _input(panel, Places(*(of[k : k + _CHUNK] for of in places)))
        for k in range(0, max(len(places.step), 1), _CHUNK)
    ]
    return stack(parts)


def stack(parts: list[ModelInput]) -> ModelInput:
    """All parts in one."""
    return ModelInput(
        *(np.concatenate([getattr(part, of.name) for part in parts]) for of in fields(ModelInput))
    )


def join(parts: list[Examples]) -> Examples:
    """All parts in one."""
    arrays = [
        np.concatenate([getattr(part, of.name) for part in parts]) for of in fields(Examples)[1:]
    ]
    return Examples(stack([part.input for part in parts]), *arrays)


def _input(panel: Panel, places: Places) -> ModelInput:
    near, power, _ = _gathered(panel, places)
    return build(near[:, :WINDOW], power[:, :HISTORY], _end_s(panel, places))


def _examples(panel: Panel, places: Places, rng: np.random.Generator, augment: Augment) -> Examples:
    near, power, use = _gathered(panel, places)
    moved = _moved(use, rng, augment)
    power = power + moved * panel.range_w[places.series][:, None]
    if augment.meters:
        power = _meter(power, rng)
    target, history = power[:, HISTORY:].copy(), power[:, :HISTORY]
    window = near[:, :WINDOW].copy()
    window[:, :, 0] = history[:, -WINDOW:]
    window[:, :, 1] += 100.0 * moved[:, HISTORY - WINDOW : HISTORY]
    if augment.dropout:
        _drop(window, history, rng, augment.dropout)
    fold = fold_of(places.step, panel.train_steps)
    inputs_ = build(window, history, _end_s(panel, places))
    return Examples(inputs_, history[:, -NAIVE_STEPS:].copy(), target, fold)


def _end_s(panel: Panel, places: Places) -> FloatArray:
    return np.asarray(panel.start_s + (places.step + 1.0) * STEP_S, np.float64)


def _gathered(panel: Panel, places: Places) -> tuple[FloatArray, FloatArray, FloatArray]:
    """All channels of the window and the horizon; power and CPU use (0..1) of history, too."""
    newest = places.step[:, None] + np.arange(1 - WINDOW, HORIZON + 1)
    steps = panel.channels.shape[1]
    near = panel.channels[places.series[:, None], np.clip(newest, 0, steps - 1)]
    near[(newest < 0) | (newest >= steps)] = np.nan
    whole = panel.padded
    begin = places.step + 1  # the padding is HISTORY long
    power, use = (sliding_window_view(of, _SPAN, axis=1)[places.series, begin] for of in whole)
    return near, power.copy(), use / 100.0


def _places(panel: Panel, count: int, rng: np.random.Generator, *, held_out: bool) -> Places:
    """Places with power known now, in the whole horizon, and mostly before."""
    first = panel.train_steps if held_out else _LEAST_KNOWN
    last = (panel.channels.shape[1] if held_out else panel.train_steps) - HORIZON
    if last <= first:
        return Places(np.zeros(0, np.int64), np.zeros(0, np.int64))
    known = np.isfinite(panel.channels[:, :, 0])
    total = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    size = count * _CANDIDATES
    series = rng.integers(len(panel.channels), size=size)
    step = rng.integers(first, last, size=size)
    whole = total[series, step + 1 + HORIZON] - total[series, step] == HORIZON + 1
    begin = np.maximum(step + 1 - NAIVE_STEPS, 0)
    enough = total[series, step + 1] - total[series, begin] >= _LEAST_KNOWN
    good = np.flatnonzero(whole & enough)[:count]
    return Places(series[good], step[good])


def _moved(use: FloatArray, rng: np.random.Generator, augment: Augment) -> FloatArray:
    """[n, _SPAN] change of use (0..1) by a drift or a level shift in the newest steps."""
    n, step = len(use), np.arange(_SPAN)
    if not augment.drift and not augment.shift:
        return np.zeros_like(use)
    low, high = np.log(_DRIFT_STEPS)
    length = np.exp(rng.uniform(low, high, size=n)).astype(np.int64)
    begin = _SPAN - _NEAR + rng.integers(4 - length, _NEAR - 4)
    slope = rng.normal(0.0, _DRIFT_USE, size=n) / np.clip(length, 12, _NEAR)
    slope = np.where(rng.random(n) < augment.drift, slope, 0.0)
    added = slope[:, None] * np.clip(step - begin[:, None], 0, length[:, None])
    at = _SPAN - _NEAR + rng.integers(4, _NEAR - HORIZON, size=n)
    jump = np.where(rng.random(n) < augment.shift, rng.normal(0.0, 0.2, size=n), 0.0)
    added = added + np.where(step >= at[:, None], jump[:, None], 0.0)
    idle_unknown = np.where(np.isnan(use), 0.5, use)
    moved = np.clip(idle_unknown + added, 0.0, 1.0) - np.clip(idle_unknown, 0.0, 1.0)
    return np.asarray(moved)


def _meter(power_w: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Readings of meters with different steps."""
    step = np.array(_METER_STEPS_W)[rng.integers(len(_METER_STEPS_W), size=len(power_w))][:, None]
    rounded = np.round(power_w / np.maximum(step, 1e-9)) * step
    return np.where(step > 0, rounded, power_w)


def _drop(window: FloatArray, history: FloatArray, rng: np.random.Generator, amount: float) -> None:
    """Take readings away, in place."""
    n, steps = len(window), np.arange(WINDOW)
    for group in _GROUPS:
        gone = rng.random(n) < 0.2 * amount
        window[np.ix_(gone, steps, np.array(group))] = np.nan
    holes = (rng.random(n) < 0.3 * amount)[:, None] & (rng.random((n, WINDOW)) < 0.06)
    window[holes] = np.nan
    low, high = np.log((_LEAST_HISTORY, HISTORY))
    left = np.exp(rng.uniform(low, high, size=n)).astype(np.int64)
    left = np.where(rng.random(n) < 0.3 * amount, left, HISTORY)
    window[steps < WINDOW - left[:, None]] = np.nan
    recent = np.where(rng.random(n) < 0.08 * amount, rng.integers(1, 7, size=n), 0)
    recent = np.where(left == HISTORY, recent, 0)  # a short history keeps its newest steps
    window[steps >= WINDOW - recent[:, None], 0] = np.nan
    history[:, -WINDOW:] = window[:, :, 0]
    history[np.arange(HISTORY) < HISTORY - left[:, None]] = np.nan
