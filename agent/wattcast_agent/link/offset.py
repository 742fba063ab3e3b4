"""How far this machine's clock is from the coordinator's. Pure."""

from collections import deque

_KEPT = 8
ALARM_REAL_S = 1.0
BARRED_REAL_S = 2.0  # beyond it no command's expiry can be judged


class Offset:
    """Measured by beats: the coordinator's clock was read between sending and receiving.

    The beat with the shortest way counts. It is kept against the monotonic clock, so that a step
    of this machine's clock shows at once.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float]] = deque(maxlen=_KEPT)  # way, theirs - monotonic

    def note(self, sent_s: float, received_s: float, theirs_real_s: float) -> None:
        """A beat came back; own times are monotonic."""
        middle_s = (sent_s + received_s) / 2
        self._kept.append((received_s - sent_s, theirs_real_s - middle_s))

    def ahead_s(self, now_s: float, real_s: float) -> float | None:
        """Seconds by which this machine's clock is ahead; None before the first beat."""
        if not self._kept:
            return None
        return real_s - now_s - min(self._kept)[1]

    def problem(self, now_s: float, real_s: float, limit_real_s: float) -> str:
        """What is wrong with the clock, for an operator; empty within the limit."""
        ahead_s = self.ahead_s(now_s, real_s)
        if ahead_s is None or abs(ahead_s) <= limit_real_s + min(self._kept)[0] / 2:
            return ""
        side = "ahead of" if ahead_s > 0 else "behind"
        return f"clock {abs(ahead_s):.1f} s {side} the coordinator's; remedy: check NTP"
