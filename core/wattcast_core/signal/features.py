"""The model's input, built alike for training and for serving.

Everything a server has of its own (level, size) is taken out here, so one network fits all servers:
power counts from the last known value (the anchor) in units of the series' usual change in an hour
(the scale). A missing value is told by a mask or a known share, never by a number that looks like a
reading. Four parts go in: the newest steps of all channels (for the LSTM), the state of the series
(context), what is particular to each step of the horizon (ahead), and plain guesses of the change
that the network may copy (candidates).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal import context, gaps, seasons
from wattcast_core.signal.gaps import bridged
from wattcast_core.signal.steps import HISTORY, HORIZON, HOUR, STEP_S, WINDOW
from wattcast_core.units import FloatArray, RealArray

CHANNELS = (
    "power_w",
    "cpu_pct",
    "memory_used_pct",
    "net_rx_bytes_per_s",
    "net_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
)
RECENT = (
    "power",
    "power_difference",
    "power_known",
    "cpu_level",
    "cpu_change",
    "cpu_known",
    "memory_change",
    "memory_known",
    "net_rx_log_change",
    "net_tx_log_change",
    "net_known",
    "disk_read_log_change",
    "disk_write_log_change",
    "disk_known",
)
CONTEXT = context.NAMES
AHEAD = seasons.NAMES
CANDIDATES = (*seasons.GUESSES, *context.GUESSES, "two_steps_ago", "three_steps_ago", "now")
SCALING = "(p - last known) / max(mean |change in an hour| of the week, 1 % of level, 0.5 W)"
VERSION = 2
SCHEMA: Mapping[str, object] = {  # what a model file must say of itself to be used
    "schema": VERSION,
    "recent": list(RECENT),
    "context": list(CONTEXT),
    "ahead": list(AHEAD),
    "candidates": list(CANDIDATES),
    "window": WINDOW,
    "history": HISTORY,
    "step_s": STEP_S,
    "horizon": HORIZON,
    "quantiles": list(QUANTILES),
    "scaling": SCALING,
}

_FLOOR_SHARE = 0.01  # of the level: below it a change is meter noise
_FLOOR_W = 0.5
_CLIP = 50.0  # scales
_LIMIT = 10.0

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A batch for the network and what turns its answer back into watts.

    Attributes:
        recent: [series, WINDOW, len(RECENT)], finite, as are the next three.
        context: [series, len(CONTEXT)].
        ahead: [series, HORIZON, len(AHEAD)].
        candidates: [series, HORIZON, len(CANDIDATES)] scaled changes.
        anchor_w: [series] last known power; NaN where the history holds none.
        scale_w: [series] watts a unit of the network's answer, > 0.
        age_steps: [series] steps since the anchor was measured (0 = newest step).
    """

    recent: Float32Array
    context: Float32Array
    ahead: Float32Array
    candidates: Float32Array
    anchor_w: FloatArray
    scale_w: FloatArray
    age_steps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scale_w)

    def parts(self) -> dict[str, Float32Array]:
        """The network's inputs by name."""
        return {name: getattr(self, name) for name in ("recent", "context", "ahead", "candidates")}

    def to_watts(self, scaled_change: FloatArray) -> FloatArray:
        """Watts [series, horizon, quantile] of scaled changes of the same shape."""
        return self.anchor_w[:, None, None] + self.scale_w[:, None, None] * scaled_change


def build(window: FloatArray, history_w: RealArray, end_s: FloatArray) -> ModelInput:
    """Build the network's input.

    Args:
        window: [series, WINDOW, len(CHANNELS)] in the channels' own units, NaN = missing.
        history_w: [series, HISTORY] power whose last steps are those of the window.
        end_s: [series] epoch seconds at which the last step ends.
    """
    history_w = history_w.astype(np.float32)  # as it is kept: training must see the same bits
    known = np.isfinite(history_w)
    empty = ~known.any(axis=1)
    age = np.where(empty, HISTORY, np.argmax(known[:, ::-1], axis=1))
    newest = history_w[np.arange(len(age)), np.maximum(HISTORY - 1 - age, 0)]
    anchor = np.where(empty, np.nan, newest.astype(np.float64))
    filled = bridged(history_w, known)
    scale = _scale(filled)
    start = np.where(empty, 0.0, anchor)[:, None]
    relative = ((filled - start) / scale[:, None]).astype(np.float32)
    state, of_state = context.build(relative, age, end_s)
    steps, of_steps = seasons.build(relative)
    level = np.log10(scale / np.maximum(np.abs(start[:, 0]), _FLOOR_W))
    plain = np.stack([relative[:, -2], relative[:, -3], np.zeros(len(age))], axis=1)
    flat = _finite(np.concatenate([of_state, plain], axis=1))[:, None]
    spread = np.broadcast_to(flat, (len(age), HORIZON, flat.shape[2]))
    guesses = np.concatenate([of_steps, spread], axis=2)
    return ModelInput(
        recent=_recent(relative, window),
        context=_finite(np.column_stack([state, level])),
        ahead=_finite(steps),
        candidates=np.clip(_finite(guesses), -_CLIP, _CLIP),
        anchor_w=anchor,
        scale_w=scale,
        age_steps=age,
    )


def _scale(filled: RealArray) -> FloatArray:
    """[series] watts: mean change in an hour, or what shorter changes suggest; never 0."""
    hour = gaps.mean(np.abs(filled[:, HOUR:] - filled[:, :-HOUR]))
    step = gaps.mean(np.abs(np.diff(filled[:, -WINDOW:], axis=1)))
    level = np.nan_to_num(gaps.mean(np.abs(filled)))
    spread = np.nan_to_num(np.where(np.isfinite(hour), hour, 2.0 * step))
    floor = np.maximum(_FLOOR_SHARE * level, _FLOOR_W)
    return np.asarray(np.maximum(spread, floor), np.float64)


def _recent(relative: Float32Array, window: RealArray) -> Float32Array:
    power = np.arcsinh(_finite(relative[:, -WINDOW:]))
    rates = np.log10(1.0 + np.maximum(window[:, :, 3:], 0.0))
    cpu = window[:, :, 1]
    columns = [
        power,
        np.diff(power, axis=1, prepend=power[:, :1]),
        np.isfinite(window[:, :, 0]),
        np.clip(cpu / 100.0, 0.0, 2.0),
        np.arcsinh((cpu - cpu[:, -1:]) / np.maximum(gaps.deviation(cpu), 1.0)[:, None]),
        np.isfinite(cpu),
        _change(window[:, :, 2]) / 10.0,
        np.isfinite(window[:, :, 2]),
        *(_change(rates[:, :, k]) for k in (0, 1)),
        np.isfinite(rates[:, :, 0]),
        *(_change(rates[:, :, k]) for k in (2, 3)),
        np.isfinite(rates[:, :, 2]),
    ]
    return np.clip(_finite(np.stack(columns, axis=2)), -_LIMIT, _LIMIT)


def _change(series: RealArray) -> RealArray:
    """Difference to the window's mean: levels differ from site to site, changes less so."""
    return series - gaps.mean(series)[:, None]


def _finite(values: RealArray) -> Float32Array:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
