"""What is taken out for maintenance, and from when until when."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wattcast_coordinator.study import days
from wattcast_core.errors import ConfigError

_SPEC = re.compile(r"(?P<element>.+?)\s+(?P<begin>\S+?)\s*/\s*(?P<end>\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """What is taken out, and from when until when (aware UTC)."""

    element: str
    begin: datetime
    end: datetime

    @property
    def hours(self) -> int:
        """Whole hours that it touches."""
        first = days.hour_floor(self.begin)
        return max(1, -(-int((self.end - first).total_seconds()) // 3600))


def parse(text: str) -> Window:
    """``UPS-A 2026-12-01T02:00/06:00``; times are UTC unless they carry an offset.

    Raises:
        ConfigError: not understood, or the end is not after the begin.
    """
    found = _SPEC.fullmatch(text.strip())
    if not found:
        raise ConfigError(
            f"--maintenance '{text}' is not understood; say e.g. 'UPS-A 2026-12-01T02:00/06:00'"
        )
    begin = _time(found["begin"], text)
    end_text = found["end"]
    if re.fullmatch(r"\d{1,2}:\d{2}", end_text):
        hour, minute = (int(part) for part in end_text.split(":"))
        if hour > 23 or minute > 59:
            raise ConfigError(f"--maintenance '{text}': '{end_text}' is no time of day")
        end = begin.replace(hour=hour, minute=minute)
        end += timedelta(days=1) if end <= begin else timedelta()
    else:
        end = _time(end_text, text)
    if end <= begin:
        raise ConfigError(f"--maintenance '{text}': it ends before it begins")
    return Window(found["element"], begin.astimezone(UTC), end.astimezone(UTC))


def _time(text: str, whole: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"--maintenance '{whole}': '{text}' is no time; give e.g. 2026-12-01T02:00"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
