"""Rows of the domain as Arrow tables, ready for either database."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.contract import FeedMinutes
from wattcast_coordinator.store.schema import (
    DEVICE_STATES,
    FORECASTS,
    NUMBERS,
    SAMPLES,
    SIGNATURES,
    TAGS,
    TEXT,
    TIME,
    WHOLE,
    Series,
)
from wattcast_core.columns import (
    CORDS,
    QUALITIES,
    IntArray,
    SampleColumns,
    SignatureColumns,
    milliseconds,
)
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.messages import Batch
from wattcast_core.signature import FEATURES

_TYPES = {TEXT: pa.string(), TIME: pa.timestamp("ms"), WHOLE: pa.int64()}
_DAY_MS = 86_400_000
_QUALITIES = pa.array([q.value for q in QUALITIES])


def tables(batches: Iterable[Batch]) -> dict[str, tuple[Series, pa.Table]]:
    """What batches bring: name of the series -> the series and its distinct rows."""
    batches = list(batches)
    samples = [SampleColumns.of(b.samples) for b in batches if b.samples]
    signatures = [SignatureColumns.of(b.signatures) for b in batches if b.signatures]
    forecasts = list(chain.from_iterable(b.forecasts for b in batches))
    devices = list(chain.from_iterable(b.devices for b in batches))
    made: list[tuple[Series, pa.Table]] = []
    if samples:
        made.append((SAMPLES, _samples(SampleColumns.join(samples))))
    if signatures:
        made.append((SIGNATURES, _signatures(SignatureColumns.join(signatures))))
    if forecasts:
        made.append((FORECASTS, _forecasts(forecasts)))
    if devices:
        made.append((DEVICE_STATES, _devices(devices)))
    return {series.name: (series, rows) for series, rows in made}


def table(columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """A small table of rows; times are UTC without a zone."""
    lists = zip(*rows, strict=True) if rows else [()] * len(columns)
    typed = zip(columns.items(), lists, strict=True)
    return pa.table({n: pa.array(each, _TYPES.get(sql, pa.float64())) for (n, sql), each in typed})


def feeds(rows: pa.Table) -> tuple[FeedMinutes, ...]:
    """Rows of feed, ts, power_w, meters in this order, a feed's together, as one item a feed."""
    names, starts = np.unique(rows["feed"].to_numpy(), return_index=True)
    ends = [*starts[1:], rows.num_rows]
    at_ms = rows["ts"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    power_w, meters = rows["power_w"].to_numpy(), rows["meters"].to_numpy()
    return tuple(
        FeedMinutes(str(name), at_ms[a:b], power_w[a:b], meters[a:b])
        for name, a, b in zip(names, starts, ends, strict=True)
    )


def days_ms(times: pa.ChunkedArray) -> list[int]:
    """The days (midnights, milliseconds since 1970) of a column of times."""
    at_ms = times.cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    return [int(day) * _DAY_MS for day in np.unique(at_ms // _DAY_MS)]


def _samples(columns: SampleColumns) -> pa.Table:
    keys = zip(columns.source, columns.quantity, columns.at_ms.tolist(), strict=True)
    columns = _distinct(columns, keys)
    return pa.table(
        {
            "source": pa.array(columns.source, pa.string()),
            "quantity": pa.array(columns.quantity, pa.string()),
            "ts": _times(columns.at_ms),
            "value": _numbers(columns.value),
            "quality": _qualities(columns.quality),
        }
    )


def _signatures(columns: SignatureColumns) -> pa.Table:
    columns = _distinct(columns, zip(columns.server, columns.at_ms.tolist(), strict=True))
    ends = np.concatenate(([0], np.cumsum(columns.cords))).astype(np.int32)
    cords = {
        name: pa.ListArray.from_arrays(pa.array(ends), _numbers(getattr(columns, name)))
        for name in CORDS
    }
    return pa.table(
        {
            "server": pa.array(columns.server, pa.string()),
            "ts": _times(columns.at_ms),
            "step_s": _numbers(columns.step_s),
            "power_w": _numbers(columns.power_w),
            "quality": _qualities(columns.quality),
            **cords,
            **{name: _numbers(columns.values[place]) for place, name in enumerate(FEATURES)},
            **{name: _tag(columns, name) for name in TAGS},
        }
    )


def _tag(columns: SignatureColumns, name: str) -> pa.Array:
    known = pa.array([getattr(tags, name) for tags in columns.tag_sets])
    return pa.DictionaryArray.from_arrays(columns.tags.astype(np.int32), known).dictionary_decode()


def _forecasts(rows: Sequence[Forecast]) -> pa.Table:
    rows = list({(f.server, f.issued_at): f for f in rows}.values())
    return _from_rows(
        FORECASTS,
        rows,
        issued=lambda f: milliseconds(f.issued_at),
        quantiles_w=lambda f: list(chain.from_iterable(f.quantiles_w)),
        kind=lambda f: f.kind.value,
    )


def _devices(rows: Sequence[DeviceState]) -> pa.Table:
    rows = list({(d.device, d.at): d for d in rows}.values())
    return _from_rows(
        DEVICE_STATES,
        rows,
        ts=lambda d: milliseconds(d.at),
        quality=lambda d: d.quality.value,
        readings=lambda d: json.dumps(dict(d.readings)),
    )


def _from_rows(series: Series, rows: Sequence[Any], **get: Callable[[Any], Any]) -> pa.Table:
    """One array a column, from the attribute of its name or by its function."""
    arrays = {}
    for name, sql in series.columns.items():
        take = get.get(name)
        column = [take(row) if take else getattr(row, name) for row in rows]
        kind = pa.list_(pa.float64()) if sql == NUMBERS else _TYPES.get(sql, pa.float64())
        arrays[name] = pa.array(column, kind, from_pandas=True)
    return pa.table(arrays)


def _distinct(columns: Any, keys: Iterable[Any]) -> Any:
    """The last row of each key."""
    last = {key: place for place, key in enumerate(keys)}
    if len(last) == len(columns):
        return columns
    return columns.take(np.fromiter(last.values(), np.int64, len(last)))


def _times(at_ms: IntArray) -> pa.Array:
    return pa.array(at_ms).cast(pa.timestamp("ms"))


def _numbers(numbers: Any) -> pa.Array:
    """NaN is what is not known; so is what no device can mean."""
    return pa.array(np.where(np.isfinite(numbers), numbers, np.nan), from_pandas=True)


def _qualities(codes: IntArray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), _QUALITIES).dictionary_decode()
