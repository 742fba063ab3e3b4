"""Values over time, with what is done where there are none."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_core.errors import DataError
from wattcast_core.units import FloatArray

_GAP = 1.5  # a value holds until the next one, but no longer than so many usual steps
_DAY_S = 86_400.0
_DAYS_BACK = 7
PUBLISHED, EARLIER, FALLBACK = "published", "earlier day", "fallback"


@dataclass(frozen=True, slots=True)
class Values:
    """A step function of time: each value holds from its time until the next one.

    Invariants: times rise; values are finite (they may be negative).

    Attributes:
        at_s: [n] epoch seconds.
        value: [n] money a kWh, grams CO2 equivalent a kWh, or watts.
        last_s: the usual step, and how long the last value holds.
    """

    at_s: tuple[float, ...] = ()
    value: tuple[float, ...] = ()
    last_s: float = 3600.0

    def at(self, when_s: float) -> float | None:
        """The value at a time; None where there is none."""
        index = bisect_right(self.at_s, when_s) - 1
        if index < 0:
            return None
        last = index == len(self.at_s) - 1
        hold_s = self.last_s if last else self.at_s[index + 1] - self.at_s[index]
        inside = when_s < self.at_s[index] + min(hold_s, _GAP * self.last_s)
        return self.value[index] if inside else None

    def joined(self, newer: "Values", keep_from_s: float) -> "Values":
        """Both together; where both know a time, the newer one counts."""
        merged = dict(zip(self.at_s, self.value, strict=True))
        if newer.at_s:
            first_s, end_s = newer.at_s[0], newer.at_s[-1]
            merged = {s: v for s, v in merged.items() if not first_s <= s <= end_s}
        merged |= dict(zip(newer.at_s, newer.value, strict=True))
        times = sorted(s for s in merged if s >= keep_from_s)
        return Values(tuple(times), tuple(merged[s] for s in times), newer.last_s)


def values(
    at_s: Sequence[float] | FloatArray, value: Sequence[float | None] | FloatArray, place: str
) -> Values:
    """Sorted values without gaps; what is missing (None, NaN) is left out, not taken for 0.

    Raises:
        DataError: nothing is left, or a time comes twice with different values.
    """
    known: dict[float, float] = {}
    for when_s, one in zip(at_s, value, strict=True):
        if one is None or not np.isfinite(one):
            continue
        if known.setdefault(float(when_s), float(one)) != float(one):
            raise DataError(f"{place}: two values for {when_s:.0f} s; remedy: check its time zone")
    if not known:
        raise DataError(f"{place}: no value in what it sent")
    times = sorted(known)
    steps = np.diff(times)
    last_s = float(np.median(steps)) if len(steps) else 3600.0
    return Values(tuple(times), tuple(known[s] for s in times), last_s)


@dataclass(frozen=True, slots=True)
class Ahead:
    """Values of the coming steps and where each comes from.

    Attributes:
        value: [H].
        origin: [H] PUBLISHED (measured, published or forecast by the provider), EARLIER (the same
            time of the newest day that is known) or FALLBACK.
    """

    value: tuple[float, ...]
    origin: tuple[str, ...]

    @property
    def worst(self) -> str:
        """The least trustworthy origin among the steps."""
        order = (PUBLISHED, EARLIER, FALLBACK)
        return max(self.origin, key=order.index, default=FALLBACK)


def ahead(known: Values, now_s: float, step_s: float, steps: int, fallback: float) -> Ahead:
    """Values for the steps after ``now_s``, each at its middle.

    Where nothing is known of a step, the same time of the newest day within a week counts; where
    that is not known either, ``fallback``. A value that is missing never counts as 0.
    """
    value, origin = [], []
    for step in range(steps):
        one, where = _one(known, now_s + (step + 0.5) * step_s, fallback)
        value.append(one)
        origin.append(where)
    return Ahead(tuple(value), tuple(origin))


def _one(known: Values, when_s: float, fallback: float) -> tuple[float, str]:
    for days in range(_DAYS_BACK + 1):
        found = known.at(when_s - days * _DAY_S)
        if found is not None:
            return found, EARLIER if days else PUBLISHED
    return fallback, FALLBACK
