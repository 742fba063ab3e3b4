"""The data clock: a piecewise linear map from real time, given from outside.

The real clock rules leases, token expiry and socket deadlines; the data clock rules timestamps,
steps, forecasts, dwell and trip curves. In production both are the same clock.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from wattcast_core.errors import ConfigError
from wattcast_core.units import epoch_s, from_epoch_s


@dataclass(frozen=True, slots=True)
class Segment:
    """From ``real_s`` on, data time runs from ``data_s`` at ``speed`` data s a real s."""

    real_s: float
    data_s: float
    speed: float


@dataclass(frozen=True, slots=True)
class DataClock:
    """Piecewise linear data clock.

    Invariants: segments are ordered by real time, speeds are positive, data time never steps back.
    """

    segments: tuple[Segment, ...] = (Segment(0.0, 0.0, 1.0),)

    def __post_init__(self) -> None:
        for before, after in zip(self.segments, self.segments[1:], strict=False):
            reached_s = before.data_s + (after.real_s - before.real_s) * before.speed
            if after.real_s <= before.real_s or after.data_s < reached_s - 1e-3:
                raise ConfigError("clock.segments: must be ordered and must not step back in time")
        if not self.segments or any(s.speed <= 0 for s in self.segments):
            raise ConfigError("clock.segments: give at least one segment, each with speed > 0")

    def now(self, real_s: float) -> datetime:
        """Data time at a real time (seconds since the epoch)."""
        seg = self._segment([s.real_s for s in self.segments], real_s)
        return from_epoch_s(seg.data_s + (real_s - seg.real_s) * seg.speed)

    def real_s(self, at: datetime) -> float:
        """Real time at which the data clock shows ``at``."""
        seg = self._segment([s.data_s for s in self.segments], epoch_s(at))
        return seg.real_s + (epoch_s(at) - seg.data_s) / seg.speed

    def speed(self, real_s: float) -> float:
        """Data seconds a real second at that real time."""
        return self._segment([s.real_s for s in self.segments], real_s).speed

    def _segment(self, starts: list[float], at: float) -> Segment:
        return self.segments[max(0, bisect_right(starts, at) - 1)]
