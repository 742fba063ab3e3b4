"""How late readings come. Pure."""

from collections import deque

WINDOW = 3_000


class Lateness:
    """Lateness of the last WINDOW readings, in whole milliseconds."""

    def __init__(self) -> None:
        self.count = 0
        self._last_ms: deque[int] = deque(maxlen=WINDOW)

    def note(self, late_s: float) -> None:
        """A reading came ``late_s`` after it was due."""
        self.count += 1
        self._last_ms.append(max(0, round(1000 * late_s)))

    def percentiles_ms(self) -> tuple[float, float]:
        """Of the last readings: p50 and p99; 0 without any."""
        ordered = sorted(self._last_ms)
        if not ordered:
            return 0.0, 0.0
        last = len(ordered) - 1
        return float(ordered[round(0.5 * last)]), float(ordered[round(0.99 * last)])
