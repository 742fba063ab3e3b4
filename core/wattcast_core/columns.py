"""Signatures and samples as columns: one array a quantity instead of one object a row.

A rack's batch is a sequence of rows to whoever decides on it, and a few arrays to whoever sends or
stores it. Both see the same data: a row is made when it is asked for.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from math import isnan
from typing import Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_core.units import EPOCH, FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Row = TypeVar("Row")
QUALITIES = tuple(Quality)
CORDS = ("cords_w", "cords_v", "cords_a", "cords_pf")
_CODE = {quality: code for code, quality in enumerate(QUALITIES)}
_MS = timedelta(milliseconds=1)


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return (at - EPOCH) // _MS


def from_milliseconds(ms: int) -> datetime:
    """Aware UTC time of milliseconds since 1970."""
    return EPOCH + ms * _MS


class Columns(Sequence[Row], Generic[Row]):
    """A sequence of rows that is kept as arrays; equal to any sequence of the same rows.

    Attributes:
        at_ms: [n] data time of each row, milliseconds since 1970 UTC.
        quality: [n] place in QUALITIES.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment] # as of a list: it is compared by content
    at_ms: IntArray
    quality: IntArray

    @abstractmethod
    def rows(self) -> list[Row]:
        """All rows."""

    @abstractmethod
    def take(self, places: IntArray) -> Self:
        """The rows at these places, in this order."""

    def until(self, last_ms: int) -> Self:
        """Without the rows that are dated later."""
        late = self.at_ms > last_ms
        return self.take(np.flatnonzero(~late)) if late.any() else self

    def __len__(self) -> int:
        return len(self.at_ms)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self.take(np.array([places])).rows()[0]
        return self.take(np.array(places, np.int64)).rows()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns(Columns[Sample]):
    """Samples; see ``Sample`` and ``Columns``."""

    source: tuple[str, ...]
    quantity: tuple[str, ...]
    value: FloatArray
    at_ms: IntArray
    quality: IntArray

    @classmethod
    def of(cls, rows: Sequence[Sample]) -> Self:
        """Columns of rows; itself if it is columns already."""
        if isinstance(rows, cls):
            return rows
        return cls(
            tuple(s.source for s in rows),
            tuple(s.quantity for s in rows),
            _floats(s.value for s in rows),
            _times(rows),
            _codes(rows),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts (at least one)."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple(chain.from_iterable(p.source for p in parts)),
            tuple(chain.from_iterable(p.quantity for p in parts)),
            np.concatenate([p.value for p in parts]),
            np.concatenate([p.at_ms for p in parts]),
            np.concatenate([p.quality for p in parts]),
        )

    def rows(self) -> list[Sample]:
        """All samples."""
        times = map(from_milliseconds, self.at_ms.tolist())
        qualities = map(QUALITIES.__getitem__, self.quality.tolist())
        return list(map(Sample, self.source, self.quantity, self.value.tolist(), times, qualities))

    def take(self, places: IntArray) -> Self:
        """The samples at these places."""
        return type(self)(
            tuple(self.source[i] for i in places),
            tuple(self.quantity[i] for i in places),
            self.value[places],
            self.at_ms[places],
            self.quality[places],
        )


@dataclass(frozen=True, slots=True, eq=False)
class SignatureColumns(Columns[Signature]):
    """Signatures; see ``Signature`` and ``Columns``.

    Attributes:
        values: [feature, n].
        cords: [n] number of cords of each row.
        cords_w, cords_v, cords_a, cords_pf: [sum of cords] the rows' cords one after the other.
        tags: [n] place in ``tag_sets``.
    """

    server: tuple[str, ...]
    at_ms: IntArray
    step_s: FloatArray
    values: FloatArray
    cords: IntArray
    cords_w: FloatArray
    cords_v: FloatArray
    cords_a: FloatArray
    cords_pf: FloatArray
    tags: IntArray
    tag_sets: tuple[Tags, ...]
    quality: IntArray

    @classmethod
    def of(cls, rows: Sequence[Signature]) -> Self:
        """Columns of rows; itself if it is columns already."""
        if isinstance(rows, cls):
            return rows
        sets = {tags: place for place, tags in enumerate(dict.fromkeys(s.tags for s in rows))}
        electric = {
            name: _floats(chain.from_iterable(_cords(s, name) for s in rows)) for name in CORDS
        }
        return cls(
            server=tuple(s.server for s in rows),
            at_ms=_times(rows),
            step_s=_floats(s.step_s for s in rows),
            values=np.array([s.values for s in rows], float).reshape(-1, len(FEATURES)).T.copy(),
            cords=np.array([len(s.cords_w) for s in rows], np.int64),
            tags=np.array([sets[s.tags] for s in rows], np.int64),
            tag_sets=tuple(sets),
            quality=_codes(rows),
            **electric,
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts (at least one)."""
        if len(parts) == 1:
            return parts[0]
        sets: dict[Tags, int] = {}
        for part in parts:
            for tags in part.tag_sets:
                sets.setdefault(tags, len(sets))
        places = [np.array([sets[t] for t in p.tag_sets], np.int64)[p.tags] for p in parts]
        return cls(
            server=tuple(chain.from_iterable(p.server for p in parts)),
            at_ms=np.concatenate([p.at_ms for p in parts]),
            step_s=np.concatenate([p.step_s for p in parts]),
            values=np.concatenate([p.values for p in parts], axis=1),
            cords=np.concatenate([p.cords for p in parts]),
            tags=np.concatenate(places),
            tag_sets=tuple(sets),
            quality=np.concatenate([p.quality for p in parts]),
            **{name: np.concatenate([getattr(p, name) for p in parts]) for name in CORDS},
        )

    @property
    def power_w(self) -> FloatArray:
        """[n] sum of a row's cords, NaN if one is not known or there is none."""
        rows = np.repeat(np.arange(len(self)), self.cords)
        total = np.bincount(rows, self.cords_w, len(self))
        return np.asarray(np.where(self.cords > 0, total, np.nan))

    def rows(self) -> list[Signature]:
        """All signatures."""
        return list(
            map(
                Signature,
                self.server,
                map(from_milliseconds, self.at_ms.tolist()),
                self.step_s.tolist(),
                self._split(self.cords_w),
                map(tuple, self.values.T.tolist()),
                map(self.tag_sets.__getitem__, self.tags.tolist()),
                map(QUALITIES.__getitem__, self.quality.tolist()),
                map(_or_empty, self._split(self.cords_v)),
                map(_or_empty, self._split(self.cords_a)),
                map(_or_empty, self._split(self.cords_pf)),
            )
        )

    def take(self, places: IntArray) -> Self:
        """The signatures at these places."""
        ends = np.concatenate(([0], np.cumsum(self.cords)))
        kept = [np.arange(ends[i], ends[i + 1]) for i in places]
        cords = np.concatenate(kept) if kept else np.array([], np.int64)
        return type(self)(
            server=tuple(self.server[i] for i in places),
            at_ms=self.at_ms[places],
            step_s=self.step_s[places],
            values=self.values[:, places],
            cords=self.cords[places],
            tags=self.tags[places],
            tag_sets=self.tag_sets,
            quality=self.quality[places],
            **{name: getattr(self, name)[cords] for name in CORDS},
        )

    def _split(self, numbers: FloatArray) -> list[tuple[float, ...]]:
        """The cords of each row."""
        flat = iter(numbers.tolist())
        return [tuple(islice(flat, count)) for count in self.cords.tolist()]


def _or_empty(cords: tuple[float, ...]) -> tuple[float, ...]:
    return () if all(map(isnan, cords)) else cords


def _cords(row: Signature, name: str) -> tuple[float, ...]:
    return getattr(row, name) or (float("nan"),) * len(row.cords_w)


def _floats(numbers: Iterable[float]) -> FloatArray:
    return np.fromiter(numbers, float)


def _times(rows: Iterable[Sample | Signature]) -> IntArray:
    return np.array([milliseconds(row.at) for row in rows], np.int64)


def _codes(rows: Iterable[Sample | Signature]) -> IntArray:
    return np.array([_CODE[row.quality] for row in rows], np.int64)
