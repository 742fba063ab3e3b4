"""How long a device carries an overload."""

import math
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class TripCurve:
    """Steps (load / rating, seconds until it trips at this load or more), rising loads.

    Below the first step it never trips and cools down within ``cool_s``.
    """

    steps: tuple[tuple[float, float], ...]
    cool_s: float = 600.0

    def heat(self, load: float, dt_s: float) -> float:
        """Share of the way to a trip that ``dt_s`` at this load adds (negative: cooling)."""
        trip_s = self.trip_s(load)
        return -dt_s / self.cool_s if math.isinf(trip_s) else dt_s / trip_s

    def trip_s(self, load: float) -> float:
        """Seconds until a trip at a constant load / rating."""
        place = bisect_right([at for at, _ in self.steps], load)
        return self.steps[place - 1][1] if place else math.inf


# Huawei UPS2000-G-3kRTS user manual, technical specifications, overload below 35 degC ambient:
# 105-110 % 10 min, 110-130 % 1 min, 130-150 % 3 s, above 0.5 s.
UPS = TripCurve(((1.05, 600.0), (1.10, 60.0), (1.30, 3.0), (1.50, 0.5)))
# IEC 60898-1 table 7, the latest a miniature circuit breaker may open: 1.45 In 1 h, 2.55 In 1 min;
# type C magnetic release at 10 In.
BREAKER = TripCurve(((1.45, 3600.0), (2.55, 60.0), (10.0, 0.1)), cool_s=3600.0)
