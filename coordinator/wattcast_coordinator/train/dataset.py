"""Windows to learn from and to be judged by, built by the code the agent serves with.

How training windows differ from the recordings stands in AUGMENTATION (it goes into the manifest).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattcast_coordinator.train.recordings import Panel
from wattcast_core.signal.features import (
    DAY_INPUTS,
    HORIZON,
    STEP_S,
    WINDOW,
    Float32Array,
    ModelInput,
    build,
)
from wattcast_core.units import FloatArray

AUGMENTATION = (
    "Training windows, and one judged set: the load of a running data centre drifts (customers "
    "arrive, a rack fills), which a month of a trace shows too rarely. 40 % of windows get a "
    "synthetic linear drift of CPU use (1 h to 33 h long, begun before, in or after the window), "
    "10 % a level shift inside it, carried over to power by the machine's own range. Meters of 0, "
    "0.1, 1 and 4 W steps. Dropout, so that the model works without them: groups of inputs, single "
    "steps, the newest power readings, the older part of the window, the time of day."
)
_SPAN = WINDOW + HORIZON
_CANDIDATES = 40  # drawn a window wanted at most: recordings have gaps
_LEAST_KNOWN = 48  # steps of power in a window of the recordings
_GROUPS = ((1,), (2,), (3, 4), (5, 6))  # channels that go missing together
_DRIFT_STEPS = (12.0, 400.0)  # an hour to a day and more
_DRIFT_USE = 0.35  # standard deviation of a drift over window and horizon, 1 = full load
_METER_STEPS_W = (0.0, 0.1, 1.0, 4.0)


@dataclass(frozen=True, slots=True)
class Augment:
    """Shares of windows; all 0 leaves the recordings as they are."""

    drift: float = 0.0
    shift: float = 0.0
    dropout: float = 0.0


TRAINING = Augment(drift=0.4, shift=0.1, dropout=1.0)
DRIFTING = Augment(drift=1.0)


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows and what followed.

    Attributes:
        input: the network's input, [n] windows.
        window: [n, WINDOW, len(CHANNELS)] raw channels (the naive forecaster reads them).
        target_w: [n, HORIZON] power that followed.
    """

    input: ModelInput
    window: FloatArray
    target_w: FloatArray

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
    """Draw ``count`` windows at random from before or (held out) wholly after the time split."""
    server, start = _places(panel, count, rng, held_out=held_out)
    steps = start[:, None] + np.arange(_SPAN)
    raw = panel.channels[server[:, None], steps]
    raw = _augment(raw, panel.range_w[server], rng, augment)
    raw[:, :, 0] = _meter(raw[:, :, 0], rng)
    window, target = raw[:, :WINDOW].copy(), raw[:, WINDOW:, 0]
    end_s = panel.start_s + (start + WINDOW).astype(np.float64) * STEP_S
    if augment.dropout:
        _drop(window, rng)
    inputs = build(window, end_s)
    if augment.dropout:
        nameless = rng.random(len(window)) < 0.25 * augment.dropout
        inputs.x[np.ix_(nameless, np.arange(WINDOW), np.array(DAY_INPUTS))] = 0.0
    return Examples(inputs, window, target)


def join(parts: list[Examples]) -> Examples:
    """All parts in one."""
    inputs = ModelInput(
        np.concatenate([p.input.x for p in parts]),
        np.concatenate([p.input.anchor_w for p in parts]),
        np.concatenate([p.input.scale_w for p in parts]),
        np.concatenate([p.input.age_steps for p in parts]),
    )
    window = np.concatenate([p.window for p in parts])
    return Examples(inputs, window, np.concatenate([p.target_w for p in parts]))


def _places(
    panel: Panel, count: int, rng: np.random.Generator, *, held_out: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Server and first step of windows with power known in the horizon and mostly before."""
    first = panel.train_steps if held_out else 0
    last = (panel.channels.shape[1] if held_out else panel.train_steps) - _SPAN
    if last <= first:
        empty = np.zeros(0, np.int64)
        return empty, empty
    known = np.isfinite(panel.channels[:, :, 0])
    total = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    size = count * _CANDIDATES
    server = rng.integers(len(panel.channels), size=size)
    start = rng.integers(first, last + 1, size=size)
    split, end = start + WINDOW, start + _SPAN
    whole = total[server, end] - total[server, split] == HORIZON
    enough = total[server, split] - total[server, start] >= _LEAST_KNOWN
    good = np.flatnonzero(whole & enough & known[server, split - 1])[:count]
    return server[good], start[good]


def _augment(
    raw: FloatArray, range_w: FloatArray, rng: np.random.Generator, augment: Augment
) -> FloatArray:
    """Drift and level shift of the use (0..1), carried over to power by the machine's range."""
    n, step = len(raw), np.arange(_SPAN)
    low, high = np.log(_DRIFT_STEPS)
    length = np.exp(rng.uniform(low, high, size=n)).astype(np.int64)
    begin = rng.integers(4 - length, _SPAN - 4)
    slope = rng.normal(0.0, _DRIFT_USE, size=n) / np.clip(length, 12, _SPAN)
    slope = np.where(rng.random(n) < augment.drift, slope, 0.0)
    rise = np.clip(step - begin[:, None], 0, length[:, None])
    added = slope[:, None] * (rise - rise[:, :1])
    at = rng.integers(4, WINDOW, size=n)
    jump = np.where(rng.random(n) < augment.shift, rng.normal(0.0, 0.2, size=n), 0.0)
    added = added + np.where(step >= at[:, None], jump[:, None], 0.0)
    idle_unknown = np.where(np.isnan(raw[:, :, 1]), 0.5, raw[:, :, 1] / 100.0)
    moved = np.clip(idle_unknown + added, 0.0, 1.0) - np.clip(idle_unknown, 0.0, 1.0)
    raw[:, :, 0] += moved * range_w[:, None]
    raw[:, :, 1] += 100.0 * moved
    return raw


def _meter(power_w: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Readings of meters with different steps."""
    step = np.array(_METER_STEPS_W)[rng.integers(len(_METER_STEPS_W), size=len(power_w))][:, None]
    rounded = np.round(power_w / np.maximum(step, 1e-9)) * step
    return np.where(step > 0, rounded, power_w)


def _drop(window: FloatArray, rng: np.random.Generator) -> None:
    """Take readings away, in place."""
    n, steps = len(window), np.arange(WINDOW)
    for group in _GROUPS:
        gone = rng.random(n) < 0.2
        window[np.ix_(gone, steps, np.array(group))] = np.nan
    holes = (rng.random(n) < 0.3)[:, None] & (rng.random((n, WINDOW)) < 0.06)
    window[holes] = np.nan
    recent = np.where(rng.random(n) < 0.08, rng.integers(1, 7, size=n), 0)
    window[steps >= WINDOW - recent[:, None], 0] = np.nan
    start = np.where(rng.random(n) < 0.2, rng.integers(1, WINDOW - 8, size=n), 0)
    window[steps < start[:, None]] = np.nan
