"""What the signature database answers."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One step of one server; NaN where a number is not known."""

    at: datetime
    power_w: float
    cpu_pct: float
    quality: str


@dataclass(frozen=True, slots=True)
class FeedPoint:
    """One minute of one feed: the power of its meters, and how many of them were read."""

    feed: str
    at: datetime
    power_w: float
    meters: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what; kept for good.

    Attributes:
        at: data time.
        actor: coordinator, agent or person.
        action: as ``move``, ``transfer``, ``result``.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is stored.

    Attributes:
        lstm, naive: forecasts by the forecaster that was served.
        rows: over all tables.
    """

    samples: int = 0
    signatures: int = 0
    lstm: int = 0
    naive: int = 0
    rows: int = 0
