"""How a server really splits its power over its cords, from readings of all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wattcast_core.units import FloatArray

LEAST_READINGS = 24
_SPARE = 0.2  # a cord with less is a spare supply's
_TAIL = 0.95  # of readings that the doubt covers


@dataclass(frozen=True, slots=True)
class Split:
    """A fitted split.

    Attributes:
        shares: of each cord, weighted by load.
        doubt: by how much a cord's share was more than that in all but one reading of twenty.
        spare: a supply rests, at least at the loads that were seen; what it takes over at higher
            ones is not known from them.
        readings: complete ones that it rests on.
        highest_w: largest power among them.
    """

    shares: tuple[float, ...]
    doubt: float
    spare: bool
    readings: int
    highest_w: float


def fit(cords_w: FloatArray, idle_w: float = 0.0) -> Split | None:
    """The split of one server; None with fewer than 24 complete readings.

    Args:
        cords_w: [T,C] power of each cord; NaN where it was not read.
        idle_w: readings of less power in all say nothing (the server is off).
    """
    total_w = cords_w.sum(1)
    usable = np.isfinite(total_w) & (total_w > max(idle_w, 0.0)) & (cords_w >= 0).all(1)
    if usable.sum() < LEAST_READINGS:
        return None
    known_w, total_w = cords_w[usable], total_w[usable]
    share = known_w.sum(0) / total_w.sum()
    above = (known_w / total_w[:, None] - share).max(1)
    return Split(
        tuple(float(s) for s in share),
        float(max(np.quantile(above, _TAIL), 0.0)),
        bool(share.min() < _SPARE),
        int(usable.sum()),
        float(total_w.max()),
    )


def fit_all(readings: Mapping[str, FloatArray], idle_w: Mapping[str, float]) -> dict[str, Split]:
    """Splits of all servers that were read often enough."""
    found = {name: fit(table, 0.5 * idle_w.get(name, 0.0)) for name, table in readings.items()}
    return {name: split for name, split in found.items() if split is not None}
