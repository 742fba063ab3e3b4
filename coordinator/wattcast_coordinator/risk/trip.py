"""How long a device bears an overload: trip curves and the way to a trip under a changing load."""

from dataclasses import dataclass

import numpy as np

from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class TripCurve:
    """Permitted time over load, linear between points in the logarithm of both.

    Below the first point the device bears the load for ever; beyond the last, the last time holds.

    Attributes:
        source: where the figures stand.
        ratio: load over rating, rising.
        permitted_s: seconds until it trips at that ratio, falling.
    """

    source: str
    ratio: tuple[float, ...]
    permitted_s: tuple[float, ...]

    def time_s(self, ratio: FloatArray) -> FloatArray:
        """Seconds until a trip at constant load; infinite below the curve."""
        known = np.maximum(np.asarray(ratio, float), 1e-9)
        logs = np.interp(np.log(known), np.log(self.ratio), np.log(self.permitted_s))
        return np.where(known < self.ratio[0], np.inf, np.exp(logs))


UPS = TripCurve(
    source="MGE Galaxy PW 100-225 kVA manual, 4.6.1: 125 % 10 min, 150 % 1 min, limit at 165 % for "
    "1 s; the point at 105 % / 1 h is an assumption on the safe side of the curve's start",
    ratio=(1.05, 1.25, 1.5, 1.65),
    permitted_s=(3600.0, 600.0, 60.0, 1.0),
)


def time_to_trip_s(
    load_w: FloatArray, rating_w: float, curve: TripCurve, step_s: float, *, worn: float = 0.0
) -> float:
    """Seconds until the device trips, infinite if it does not within the horizon.

    Each step wears ``dt / permitted(load)``; at 1 the device trips, at the very moment within the
    step (UPS curves are steeper than a step). Wear does not heal here: the safe side.

    Args:
        load_w: [H] load of each step.
        rating_w: of the device.
        curve: what it bears.
        step_s: length of a step.
        worn: wear that earlier overload left, 0..1.
    """
    rates: list[float] = (step_s / curve.time_s(load_w / rating_w)).tolist()
    for step, rate in enumerate(rates):
        if rate > 0 and worn + rate >= 1.0:
            return (step + max(1.0 - worn, 0.0) / rate) * step_s
        worn += rate
    return float("inf")
