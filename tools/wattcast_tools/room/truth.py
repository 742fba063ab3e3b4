"""What really happened, from unquantised loads, in data minutes. Pure.

An overload minute: some node is above its continuous limit, or above its emergency limit while a
feed is lost. An N-1 violation minute: all feeds are up, and the loss of some single feed would put
a feed or rack PDU above its emergency limit. "After plan" counts those that come later than one
step (300 s) after the first burst of actions: completed transfers and migrations that follow each
other within ``BURST_S``. Without any action every violation minute counts as after the plan.
"""

from dataclasses import dataclass, field
from typing import Any

BURST_S = 900.0
_STEP_S = 300.0


@dataclass
class Truth:
    """Accumulates the story's figures."""

    overload_s: float = 0.0
    peak: float = 0.0
    tripped: list[tuple[str, float]] = field(default_factory=list)
    dark: set[str] = field(default_factory=set)
    moves: list[float] = field(default_factory=list)
    transfers: list[float] = field(default_factory=list)
    first_overload_s: float | None = None
    violations: list[tuple[float, float]] = field(default_factory=list)

    def tick(self, at_s: float, dt_s: float, peak: float, *, over: bool, insecure: bool) -> None:
        """Count one tick: the highest feed load / limit, and whether limits are broken."""
        self.peak = max(self.peak, peak)
        if over:
            self.overload_s += dt_s
            if self.first_overload_s is None:
                self.first_overload_s = at_s
        if insecure:
            self.violations.append((at_s, dt_s))

    def report(self) -> dict[str, Any]:
        """The figures under the names of the demo's report; times in data minutes."""
        first = self.first_overload_s
        return {
            "overload_minutes": round(self.overload_s / 60.0, 2),
            "first_overload_minute": None if first is None else round(first / 60.0, 2),
            "tripped": [{"device": d, "time": round(t / 60.0, 2)} for d, t in self.tripped],
            "peak_feed_pct": round(100.0 * self.peak, 2),
            "n1_violation_minutes": self._violation_min(None),
            "n1_violation_minutes_after_plan": self._violation_min(self.planned_s()),
            "dark_servers": len(self.dark),
            "moves": len(self.moves),
            "transfers": len(self.transfers),
        }

    def planned_s(self) -> float | None:
        """Data time from which the first plan counts as carried out; None without actions."""
        times = sorted([*self.moves, *self.transfers])
        if not times:
            return None
        end = times[0]
        for at in times:
            if at > end + BURST_S:
                break
            end = at
        return end + _STEP_S

    def _violation_min(self, since_s: float | None) -> float:
        total = sum(dt for at, dt in self.violations if since_s is None or at >= since_s)
        return round(total / 60.0, 2)
