"""What of a batch can be believed: nothing from the future, no watts that cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np

from wattcast_core.columns import (
    CORDS,
    QUALITIES,
    BoolArray,
    IntArray,
    SampleColumns,
    SignatureColumns,
    milliseconds,
)
from wattcast_core.messages import Batch
from wattcast_core.samples import Quality
from wattcast_core.units import EPOCH, FloatArray

_FOREVER_MS = 1 << 62
_INVALID = QUALITIES.index(Quality.INVALID)
_FLOW = ("power_w", "apparent_power_va", "current_a")
_FED = ("device", "inlet", "output", "bank", "outlet")  # load draws from the feed: never negative


@dataclass(frozen=True, slots=True)
class Screened:
    """A batch as it may be believed.

    Attributes:
        future: rows that were dropped: one dated ahead would bar all true ones after it.
        invalid: readings that were infinite, or flowed from the load to the feed; now they are
            gaps of quality ``invalid``, like those an agent finds itself.
    """

    batch: Batch
    future: int = 0
    invalid: int = 0


def screen(batch: Batch, last: datetime) -> Screened:
    """Sort out what cannot be.

    Args:
        batch: as received.
        last: latest data time a row may have.
    """
    last_ms = milliseconds(last)
    samples, bad_samples = _samples(SampleColumns.of(batch.samples).until(last_ms))
    signatures, bad_signatures = _signatures(SignatureColumns.of(batch.signatures).until(last_ms))
    sound = replace(
        batch,
        samples=samples,
        signatures=signatures,
        forecasts=tuple(f for f in batch.forecasts if f.issued_at <= last),
        devices=tuple(d for d in batch.devices if d.at <= last),
    )
    return Screened(sound, _rows(batch) - _rows(sound), bad_samples + bad_signatures)


def within(batch: Batch, spans: Sequence[tuple[datetime, datetime | None]]) -> Batch:
    """What of a batch lies in the time spans; a step belongs to whoever was there at its end."""
    if any(begin == EPOCH and end is None for begin, end in spans):
        return batch
    bounds = [(milliseconds(a), milliseconds(b) if b else _FOREVER_MS) for a, b in spans]

    def inside(at_ms: IntArray) -> BoolArray:
        fits = [(begin <= at_ms) & (at_ms < end) for begin, end in bounds]
        return np.asarray(np.logical_or.reduce([np.zeros(len(at_ms), bool), *fits]))

    samples, signatures = SampleColumns.of(batch.samples), SignatureColumns.of(batch.signatures)
    ends_ms = signatures.at_ms + (1000 * signatures.step_s).astype(np.int64) - 1
    own = replace(
        batch,
        samples=samples.take(np.flatnonzero(inside(samples.at_ms))),
        signatures=signatures.take(np.flatnonzero(inside(ends_ms))),
        forecasts=tuple(f for f in batch.forecasts if inside(_one(f.issued_at)).all()),
        devices=tuple(d for d in batch.devices if inside(_one(d.at)).all()),
    )
    return own if _rows(own) < _rows(batch) else batch


def _one(at: datetime) -> IntArray:
    return np.array([milliseconds(at)], np.int64)


def _samples(columns: SampleColumns) -> tuple[SampleColumns, int]:
    flow = np.fromiter(map(_flows_one_way, columns.quantity), bool)
    bad = np.isinf(columns.value) | (flow & (columns.value < 0))
    if not bad.any():
        return columns, 0
    value = np.where(bad, np.nan, columns.value)
    return replace(columns, value=value, quality=_mark(columns.quality, bad)), int(bad.sum())


def _signatures(columns: SignatureColumns) -> tuple[SignatureColumns, int]:
    bad = {name: _impossible(getattr(columns, name)) for name in CORDS}
    bad["cords_pf"] = np.isinf(columns.cords_pf)  # its sign is a matter of the meter's convention
    values = np.isinf(columns.values)
    count = int(values.sum()) + sum(int(each.sum()) for each in bad.values())
    if not count:
        return columns, 0
    rows = np.repeat(np.arange(len(columns)), columns.cords)
    no_power = np.bincount(rows, bad["cords_w"], len(columns)) > 0
    clean: dict[str, Any]
    clean = {n: np.where(each, np.nan, getattr(columns, n)) for n, each in bad.items()}
    return replace(
        columns,
        values=np.where(values, np.nan, columns.values),
        quality=_mark(columns.quality, no_power),
        **clean,
    ), count


@cache
def _flows_one_way(name: str) -> bool:
    return name.partition(".")[0] in _FED and name.rpartition(".")[2] in _FLOW


def _impossible(numbers: FloatArray) -> BoolArray:
    return np.asarray(np.isinf(numbers) | (numbers < 0))


def _mark(quality: IntArray, bad: BoolArray) -> IntArray:
    return np.asarray(np.where(bad, _INVALID, quality))


def _rows(batch: Batch) -> int:
    parts: tuple[Sequence[object], ...]
    parts = (batch.samples, batch.signatures, batch.forecasts, batch.devices)
    return sum(len(part) for part in parts)
