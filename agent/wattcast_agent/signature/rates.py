"""Counters to rates: resets, wraps and gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_WIDTHS = (2.0**32, 2.0**64)


@dataclass(frozen=True, slots=True)
class Increase:
    """What a counter rose by in how many data seconds."""

    amount: float = 0.0
    over_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Rate, NaN if no interval was seen."""
        return self.amount / self.over_s if self.over_s > 0 else float("nan")


def increase(points: Sequence[tuple[float, float]], max_gap_s: float) -> Increase:
    """Total increase over consecutive readings.

    Args:
        points: (epoch s, counter) in order of time.
        max_gap_s: a longer interval is left out: it says nothing about this step.
    """
    amount = over_s = 0.0
    for (t0, v0), (t1, v1) in pairwise(points):
        if t1 - t0 <= max_gap_s:
            amount += rise(v0, v1)
            over_s += t1 - t0
    return Increase(amount, over_s)


def rise(before: float, after: float) -> float:
    """Increase between two readings.

    A fall from just under 2^32 or 2^64 to a small number is a wrap; any other fall is a restart of
    the source, which counted ``after`` since (the rule of Prometheus).
    """
    if after >= before:
        return after - before
    for width in _WIDTHS:
        if 0.9 * width < before <= width and after < 0.1 * width:
            return after + width - before
    return after
