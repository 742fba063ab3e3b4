"""The model's input, built alike for training and for serving.

Everything a server has of its own (level, size) is taken out here, so one network fits all servers:
power counts from the last known value (the anchor) in units of the window's own spread (the scale).
A missing value is told by its mask (``*_known`` = 0), not by a number that looks like a reading.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattcast_core.units import FloatArray

STEP_S = 300.0
WINDOW = 64
HORIZON = 12

CHANNELS = (
    "power_w",
    "cpu_pct",
    "memory_used_pct",
    "net_rx_bytes_per_s",
    "net_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
)
INPUTS = (
    "power",
    "power_difference",
    "power_known",
    "cpu_level",
    "cpu_change",
    "cpu_known",
    "memory_change",
    "memory_known",
    "net_log_change",
    "net_known",
    "disk_log_change",
    "disk_known",
    "day_sin",
    "day_cos",
    "relative_scale_log10",
)
DAY_INPUTS = (INPUTS.index("day_sin"), INPUTS.index("day_cos"))

SCALING = (
    "power: (p - last known) / max(0.39 (q90 - q10), 0.5 sd, 1 % of level, 0.5 W) of the window"
)
_FLOOR_SHARE = 0.01  # of the level: below it a change is meter noise
_FLOOR_W = 0.5
_CLIP = 10.0
_DAY_S = 86_400.0

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A batch for the network and what turns its answer back into watts.

    Attributes:
        x: [server, WINDOW, len(INPUTS)], finite.
        anchor_w: [server] last known power; NaN where the window holds none.
        scale_w: [server] watts a unit of the network's answer, > 0.
        age_steps: [server] steps since the anchor was measured (0 = newest step).
    """

    x: Float32Array
    anchor_w: FloatArray
    scale_w: FloatArray
    age_steps: NDArray[np.int64]

    def to_watts(self, scaled_change: FloatArray) -> FloatArray:
        """Watts [server, horizon, quantile] of scaled changes of the same shape."""
        return self.anchor_w[:, None, None] + self.scale_w[:, None, None] * scaled_change


def build(window: FloatArray, end_s: FloatArray) -> ModelInput:
    """Build the network's input.

    Args:
        window: [server, WINDOW, len(CHANNELS)] in the channels' own units, NaN = missing.
        end_s: [server] epoch seconds at which the last step ends.
    """
    power, known = hold(window[:, :, 0])
    anchor = power[:, -1]
    scale = _scale(power)
    scaled = np.clip((power - anchor[:, None]) / scale[:, None], -_CLIP, _CLIP)
    level = np.maximum(np.abs(power).mean(axis=1), _FLOOR_W)
    relative = np.broadcast_to(np.log10(scale / level)[:, None], scaled.shape)
    rate = np.log1p(np.maximum(window[:, :, 3:], 0.0)) / np.log(10.0)
    columns = [
        scaled,
        np.diff(scaled, axis=1, prepend=scaled[:, :1]),
        known,
        *_cpu(window[:, :, 1]),
        *_change(window[:, :, 2], 10.0),
        *_change(rate[:, :, 0:2].sum(axis=2), 2.0),
        *_change(rate[:, :, 2:4].sum(axis=2), 2.0),
        *_day(end_s),
        relative,
    ]
    x = np.nan_to_num(np.stack(columns, axis=2), nan=0.0).astype(np.float32)
    empty = ~known.any(axis=1)
    age = np.where(empty, WINDOW, np.argmax(known[:, ::-1], axis=1))
    return ModelInput(x, np.where(empty, np.nan, anchor), scale, age)


def hold(series: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Fill gaps of [server, step] with the last known value (before the first: that one).

    Returns:
        The filled series (0 where nothing is known) and which of its values were measured.
    """
    known = np.isfinite(series)
    steps = np.arange(series.shape[1])
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = np.argmax(known, axis=1)[:, None]
    filled = np.take_along_axis(series, np.where(last >= 0, last, first), axis=1)
    return np.nan_to_num(filled, nan=0.0, posinf=0.0, neginf=0.0), known


def _scale(power: FloatArray) -> FloatArray:
    low, high = (_quantile(np.sort(power, axis=1), share) for share in (0.1, 0.9))
    floor = np.maximum(_FLOOR_SHARE * np.abs(power).mean(axis=1), _FLOOR_W)
    spread: FloatArray = np.maximum(0.39 * (high - low), 0.5 * power.std(axis=1))
    scale: FloatArray = np.maximum(spread, floor)
    return scale


def _quantile(ordered: FloatArray, share: float) -> FloatArray:
    """As ``numpy.quantile`` of sorted rows, which would load numpy.ma: 4 MB on an edge box."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    low, high = ordered[:, below], ordered[:, min(below + 1, ordered.shape[1] - 1)]
    between: FloatArray = low + (place - below) * (high - low)
    return between


def _cpu(cpu_pct: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    cpu, known = hold(cpu_pct)
    spread = np.maximum(cpu.std(axis=1, keepdims=True), 1.0)
    change = np.clip((cpu - cpu[:, -1:]) / spread, -_CLIP, _CLIP)
    return np.clip(cpu / 100.0, 0.0, 2.0), change, known


def _change(series: FloatArray, unit: float) -> tuple[FloatArray, BoolArray]:
    """Difference to the window's mean: levels differ from site to site, changes less so."""
    filled, known = hold(series)
    change = (filled - filled.mean(axis=1, keepdims=True)) / unit
    return np.where(known, np.clip(change, -_CLIP, _CLIP), 0.0), known


def _day(end_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    middle_s = end_s[:, None] - (WINDOW - np.arange(WINDOW) - 0.5)[None, :] * STEP_S
    angle = 2.0 * np.pi * middle_s / _DAY_S
    return np.sin(angle), np.cos(angle)
