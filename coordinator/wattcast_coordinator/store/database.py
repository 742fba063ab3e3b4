"""The signature database over either engine: one SQL text."""

import math
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store import backup, dimensions, frames, rollup, steps
from wattcast_coordinator.store import judged as judging
from wattcast_coordinator.store.contract import (
    AuditEntry,
    Counts,
    FeedMinutes,
    HistoryPoint,
    HourPower,
    RecentPower,
    Store,
    WorkloadPower,
)
from wattcast_coordinator.store.engine import Engine
from wattcast_coordinator.store.migrations import migrate
from wattcast_coordinator.store.schema import FOREVER, SAMPLES, SIGNATURES, SMALL, WORKLOAD_POWER
from wattcast_core.forecast import Kind
from wattcast_core.messages import Batch
from wattcast_core.units import EPOCH, epoch_s

_UPSERT = (
    "INSERT INTO batches SELECT agent, sequence FROM new_batches WHERE true"
    " ON CONFLICT (agent) DO UPDATE SET sequence = greatest(batches.sequence, excluded.sequence)"
)


class SqlStore(Store):
    """The Store on one engine.

    Invariants: a batch is stored whole or not at all; a row of the same key is stored once, so
    that replays change nothing; a write returns after the commit.
    """

    def __init__(self, engine: Engine) -> None:
        """Take an engine; its schema is brought up to date before the first use."""
        self._engine, self._ready, self._lock = engine, False, threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine, with the schema of this version.

        Raises:
            ConfigError: made by a newer version, or other tables are in the way.
            StoreUnavailable: the database does not answer.
        """
        with self._lock:
            if not self._ready:
                migrate(self._engine)
                self._ready = True
        return self._engine

    def close(self) -> None:
        """See ``Upkeep``."""
        self._engine.close()

    def write(self, agent: str, batch: Batch) -> None:
        """Store a batch durably; replays are idempotent."""
        self.write_many([(agent, batch)])

    def write_many(self, batches: Sequence[tuple[str, Batch]]) -> None:
        """See ``Ingest``."""
        new = frames.tables(batch for _, batch in batches)
        highest: dict[str, int] = {}
        for agent, batch in batches:
            highest[agent] = max(batch.sequence, highest.get(agent, batch.sequence))
        with self.engine.transaction() as session:
            for series, rows in new.values():
                session.add(series, rows)
            if SIGNATURES.name in new:
                dimensions.observe(session)
            rollup.mark(session, [s for s, _ in new.values() if s in (SIGNATURES, SAMPLES)])
            session.stage("batches", frames.table(SMALL["batches"], list(highest.items())))
            session.execute(_UPSERT)

    def acknowledged(self, agent: str) -> int:
        """See ``Archive``."""
        found = self.engine.rows("SELECT sequence FROM batches WHERE agent = $1", [agent])
        return int(found[0][0]) if found else -1

    def write_event(self, event: RaiseEvent) -> None:
        """See ``Ingest``."""
        with self.engine.transaction() as session:
            row = [_naive(event.at), event.severity.value, event.kind, event.text]
            session.execute(
                "INSERT INTO events (ts, severity, kind, text, nr) SELECT $1, $2, $3, $4,"
                " (SELECT coalesce(max(nr), 0) + 1 FROM events) WHERE NOT EXISTS"
                " (SELECT 1 FROM events WHERE ts = $1 AND kind = $3 AND text = $4)",
                row,
            )

    def write_audit(self, entry: AuditEntry) -> None:
        """See ``Ingest``."""
        with self.engine.transaction() as session:
            session.execute(
                "INSERT INTO audit (ts, actor, action, subject, detail) VALUES ($1,$2,$3,$4,$5)",
                [_naive(entry.at), entry.actor, entry.action, entry.subject, entry.detail],
            )

    def write_workloads(self, rows: Sequence[WorkloadPower]) -> None:
        """See ``Ingest``."""
        listed = [(r.workload, _naive(r.at), r.server, r.power_w, r.idle_w) for r in rows]
        with self.engine.transaction() as session:
            session.add(WORKLOAD_POWER, frames.table(WORKLOAD_POWER.columns, listed))

    def describe(self, meters: Mapping[str, tuple[str, str, str]], at: datetime) -> None:
        """See ``Ingest``."""
        with self.engine.transaction() as session:
            dimensions.describe(session, meters, _naive(at))

    def roll_up(self, now: datetime, raw_days: float) -> int:
        """See ``Upkeep``."""
        with self.engine.transaction() as session:
            return rollup.roll(session, now, raw_days)

    def prune(self, now: datetime, raw_days: float, rollup_days: float) -> None:
        """See ``Upkeep``."""
        self.roll_up(now, raw_days)
        rollup.prune(self.engine, now, raw_days, rollup_days)

    def back_up(self, folder: Path, now: datetime, every: timedelta, keep: int) -> None:
        """See ``Upkeep``."""
        if now - backup.newest(folder) >= every:
            backup.rotate(self.engine, folder, now, keep)

    def recent_power(self, steps: int) -> RecentPower:
        """See ``Archive``."""
        found = self.engine.rows(
            "SELECT ts, step_s FROM signatures WHERE step_s > 0 ORDER BY ts DESC LIMIT 1"
        )
        if not found:
            return RecentPower()
        newest, step_s = found[0]
        recent = self.engine.rows(
            "SELECT server, ts, power_w FROM signatures WHERE ts > $1",
            [newest - timedelta(seconds=steps * step_s)],
        )
        series: dict[str, list[float]] = {}
        for server, at, power_w in recent:
            back = round((newest - at).total_seconds() / step_s)
            line = series.setdefault(server, [math.nan] * steps)
            if back < steps:
                line[steps - 1 - back] = _number(power_w)
        return RecentPower(epoch_s(_utc(newest)) + step_s, step_s, series)

    def history(self, server: str, since: datetime) -> tuple[HistoryPoint, ...]:
        """See ``Archive``."""
        found = self.engine.rows(
            "SELECT ts, power_w, cpu_pct, quality FROM signatures"
            " WHERE server = $1 AND ts >= $2 UNION ALL"
            " SELECT ts, power_w, cpu_pct, 'good' FROM signatures_1m WHERE server = $1 AND ts >= $2"
            " AND ts < coalesce((SELECT min(ts) FROM signatures WHERE server = $1 AND ts >= $2),"
            f" TIMESTAMP '{FOREVER}') ORDER BY 1",
            [server, _naive(since)],
        )
        return tuple(
            HistoryPoint(_utc(at), _number(power_w), _number(cpu_pct), quality)
            for at, power_w, cpu_pct, quality in found
        )

    def hours(self, since: datetime) -> tuple[HourPower, ...]:
        """See ``Archive``."""
        found = self.engine.rows(
            "SELECT server, date_trunc('hour', ts), avg(power_w), max(power_w) FROM signatures"
            " WHERE ts >= $1 AND power_w IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2",
            [_naive(since)],
        )
        return tuple(HourPower(server, _utc(at), mean, peak) for server, at, mean, peak in found)

    def feeds(self, since: datetime) -> tuple[FeedMinutes, ...]:
        """See ``Archive``."""
        return frames.feeds(self.engine.table(rollup.FEEDS_SQL, [_naive(since)]))

    def events(self, limit: int) -> tuple[RaiseEvent, ...]:
        """See ``Archive``."""
        found = self.engine.rows(
            "SELECT severity, kind, text, ts FROM events"
            f" ORDER BY ts DESC, coalesce(nr, 0) DESC LIMIT {int(limit)}"
        )
        return tuple(RaiseEvent(Severity(s), kind, text, _utc(at)) for s, kind, text, at in found)

    def audit(self, since: datetime) -> tuple[AuditEntry, ...]:
        """See ``Archive``."""
        found = self.engine.rows(
            "SELECT ts, actor, action, subject, detail FROM audit WHERE ts >= $1 ORDER BY ts",
            [_naive(since)],
        )
        return tuple(AuditEntry(_utc(at), *rest) for at, *rest in found)

    def counts(self) -> Counts:
        """See ``Archive``."""
        shown = ("samples", "signatures", "forecasts", "device_states", "events")
        each = ", ".join(f"(SELECT count(*) FROM {name})" for name in shown)
        row = dict(zip(shown, self.engine.rows(f"SELECT {each}")[0], strict=True))
        kinds: dict[str, int] = dict(
            self.engine.rows("SELECT kind, count(*) FROM forecasts GROUP BY kind")
        )
        return Counts(
            samples=row["samples"],
            signatures=row["signatures"],
            lstm=kinds.get(Kind.LSTM, 0),
            naive=kinds.get(Kind.NAIVE, 0),
            rows=sum(row.values()),
        )

    def judged(self, since: datetime, until: datetime) -> judging.Judged:
        """See ``Archive``."""
        return judging.judged(self.engine, since, until)

    def steps_to_file(self, path: Path, since: datetime, until: datetime) -> int:
        """See ``Archive``."""
        return steps.steps_to_file(self.engine, path, since, until)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _naive(at: datetime) -> datetime:
    return at.astimezone(EPOCH.tzinfo).replace(tzinfo=None)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=EPOCH.tzinfo)
