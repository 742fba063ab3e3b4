"""The signature database: what it is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from wattcast_coordinator.ports import RaiseEvent
from wattcast_coordinator.store.judged import Judged
from wattcast_core.columns import IntArray
from wattcast_core.messages import Batch
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One step of one server; NaN where a number is not known."""

    at: datetime
    power_w: float
    cpu_pct: float
    quality: str


@dataclass(frozen=True, slots=True)
class RecentPower:
    """Power of servers over the newest steps, all on one grid.

    Attributes:
        end_s: epoch seconds (data) at which the newest step ends.
        step_s: length of a step; 0 = nothing is known.
        power_w: server -> watts, oldest first, NaN where a step lacks.
    """

    end_s: float = 0.0
    step_s: float = 0.0
    power_w: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FeedMinutes:
    """A feed by minute, oldest first.

    Attributes:
        at_ms: [n] start of the minute, milliseconds since 1970 UTC.
        power_w: [n] power of its meters.
        meters: [n] how many of them were read.
    """

    feed: str
    at_ms: IntArray
    power_w: FloatArray
    meters: IntArray


@dataclass(frozen=True, slots=True)
class HourPower:
    """One hour of one server: the mean and the highest of its measured steps."""

    server: str
    at: datetime
    mean_w: float
    peak_w: float


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
class WorkloadPower:
    """Watts of one workload in one step, and the part of them that it has by its size."""

    workload: str
    at: datetime
    server: str
    power_w: float
    idle_w: float


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


class Ingest(Protocol):
    """Takes what agents send and the coordinator decides; one thread.

    Every method returns after the commit, and raises StoreUnavailable when nothing was stored.
    """

    def write_many(self, batches: Sequence[tuple[str, Batch]]) -> None:
        """Store batches of (agent id, batch), all or none; replays are idempotent."""

    def write_event(self, event: RaiseEvent) -> None:
        """Store an event; the same event at the same time is stored once."""

    def write_audit(self, entry: AuditEntry) -> None:
        """Keep who did what to what."""

    def write_workloads(self, rows: Sequence[WorkloadPower]) -> None:
        """Keep what workloads drew; the first word on a workload and step holds."""

    def describe(self, meters: Mapping[str, tuple[str, str, str]], at: datetime) -> None:
        """Which meter measures a feed from ``at`` on; what it measured before stays known.

        Args:
            meters: source of samples -> (feed, rack, part of the room, as ``pdu``).
            at: data time from which on this is so.
        """


class Archive(Protocol):
    """Answers people and decisions; any thread. Raises StoreUnavailable."""

    def acknowledged(self, agent: str) -> int:
        """Highest sequence stored for an agent, -1 if none."""

    def recent_power(self, steps: int) -> RecentPower:
        """Power of each server over its last steps.

        The grid ends at the newest step of any of them.
        """

    def history(self, server: str, since: datetime) -> tuple[HistoryPoint, ...]:
        """Steps of a server from ``since`` on, oldest first; by minute where raw rows are gone."""

    def hours(self, since: datetime) -> tuple[HourPower, ...]:
        """Hours in which a server was measured, while raw rows are kept; by server and time."""

    def feeds(self, since: datetime) -> tuple[FeedMinutes, ...]:
        """Measured power of each feed by minute."""

    def events(self, limit: int) -> tuple[RaiseEvent, ...]:
        """The newest events, newest first."""

    def audit(self, since: datetime) -> tuple[AuditEntry, ...]:
        """Who did what, oldest first."""

    def counts(self) -> Counts:
        """How much is stored."""

    def judged(self, since: datetime, until: datetime) -> Judged:
        """Forecasts for steps that end after ``since``, up to ``until``, and what came."""

    def steps_to_file(self, path: Path, since: datetime, until: datetime) -> int:
        """Every server on the model's steps, into a .parquet file; how many rows."""


class Upkeep(Protocol):
    """What is done once in a while; the thread that writes."""

    def roll_up(self, now: datetime, raw_days: float) -> int:
        """Add up by minute what came since the last call; returns how many minutes."""

    def prune(self, now: datetime, raw_days: float, rollup_days: float) -> None:
        """Delete raw rows and roll-ups older than their days; what is due is added up first."""

    def back_up(self, folder: Path, now: datetime, every: timedelta, keep: int) -> None:
        """Take a backup if the newest in ``folder`` is older than ``every``; any thread.

        Args:
            folder: holds one folder a backup, named by the time.
            now: data time.
            every: time from one backup to the next.
            keep: how many are kept.
        """

    def close(self) -> None:
        """Let the database go."""


class Store(Ingest, Archive, Upkeep, Protocol):
    """The signature database. Acknowledge only after ``write_many`` returned."""
