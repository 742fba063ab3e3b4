"""The signature database for the event loop: nothing here blocks it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from wattcast_coordinator.ports import RaiseEvent
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
from wattcast_coordinator.store.journal import Journal
from wattcast_coordinator.store.judged import Judged
from wattcast_core.errors import StoreUnavailable
from wattcast_core.messages import Batch

T = TypeVar("T")
_PATIENCE_REAL_S = 2.0
_Waiting = tuple[str, Batch, asyncio.Future[None]]


@dataclass(frozen=True, slots=True)
class Days:
    """How long rows are kept: as they came, and added up by minute."""

    raw: float = 7.0
    rollup: float = 90.0


class AsyncStore:
    """One thread writes, another reads; what queues up during a commit goes into the next one."""

    def __init__(self, store: Store, days: Days | None = None) -> None:
        self._store, self._days = store, days or Days()
        self._counts, self._count_again = Counts(), 0.0
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._reader = ThreadPoolExecutor(1, "store-read")
        self._journal = Journal(self._writer)
        self._waiting: list[_Waiting] = []
        self._drain: asyncio.Task[None] | None = None

    async def write(self, agent: str, batch: Batch) -> None:
        """Return when the batch is durable: now it may be acknowledged."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((agent, batch, done))
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._write_waiting())
        await done

    def write_event(self, event: RaiseEvent) -> None:
        """Keep an event, in order, as soon as the database takes it."""
        self._journal.add(lambda: self._store.write_event(event))

    def write_audit(self, entry: AuditEntry) -> None:
        """Keep who did what, in order, as soon as the database takes it."""
        self._journal.add(lambda: self._store.write_audit(entry))

    async def write_workloads(self, rows: Sequence[WorkloadPower]) -> None:
        """As of the Store."""
        await self._in(self._writer, lambda: self._store.write_workloads(rows))

    async def describe(self, meters: Mapping[str, tuple[str, str, str]], at: datetime) -> None:
        """As of the Store."""
        await self._in(self._writer, lambda: self._store.describe(meters, at))

    async def roll_up(self, now: datetime) -> int:
        """Add up by minute what came since; call it every minute or so."""
        return await self._in(self._writer, lambda: self._store.roll_up(now, self._days.raw))

    async def prune(self, now: datetime) -> None:
        """Delete what is older than its time; call it once in a while."""
        days = self._days
        await self._in(self._writer, lambda: self._store.prune(now, days.raw, days.rollup))

    async def back_up(self, folder: Path, now: datetime, every: timedelta, keep: int) -> None:
        """Take a backup if the newest in ``folder`` is older than ``every``."""
        await asyncio.to_thread(self._store.back_up, folder, now, every, keep)

    async def acknowledged(self, agent: str) -> int:
        """Highest sequence stored for an agent, -1 if none or while the database is away.

        Too low a number does no harm: the agent sends again what it still has.
        """
        try:
            async with asyncio.timeout(_PATIENCE_REAL_S):
                return await self._in(self._reader, lambda: self._store.acknowledged(agent))
        except (StoreUnavailable, TimeoutError):
            return -1

    async def recent_power(
        self, steps: int, patience_real_s: float = _PATIENCE_REAL_S
    ) -> RecentPower:
        """As of the Store; a decision waits for it, so a database that hangs counts as away."""
        try:
            async with asyncio.timeout(patience_real_s):
                return await self._in(self._reader, lambda: self._store.recent_power(steps))
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer for {patience_real_s:.0f} s") from error

    async def history(self, server: str, since: datetime) -> tuple[HistoryPoint, ...]:
        """As of the Store."""
        return await self._in(self._reader, lambda: self._store.history(server, since))

    async def hours(self, since: datetime) -> tuple[HourPower, ...]:
        """As of the Store."""
        return await self._in(self._reader, lambda: self._store.hours(since))

    async def events(self, limit: int) -> tuple[RaiseEvent, ...]:
        """As of the Store."""
        return await self._in(self._reader, lambda: self._store.events(limit))

    async def judged(self, since: datetime, until: datetime) -> Judged:
        """As of the Store; beside what decisions ask."""
        return await asyncio.to_thread(self._store.judged, since, until)

    async def steps_to_file(self, path: Path, since: datetime, until: datetime) -> int:
        """As of the Store; takes its time beside everything else."""
        return await asyncio.to_thread(self._store.steps_to_file, path, since, until)

    async def feeds(self, since: datetime) -> tuple[FeedMinutes, ...]:
        """As of the Store."""
        return await self._in(self._reader, lambda: self._store.feeds(since))

    async def counts(self) -> Counts:
        """How much is stored; counted anew so seldom that it costs a fiftieth of the time."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._count_again:
            began = loop.time()
            self._counts = await self._in(self._reader, self._store.counts)
            self._count_again = loop.time() + 50 * (loop.time() - began)
        return self._counts

    async def close(self) -> None:
        """Finish what is under way, then close the file."""
        if self._drain is not None:
            await asyncio.wait([self._drain])
        await self._journal.close()
        for pool in (self._writer, self._reader):
            pool.shutdown(wait=True)
        self._store.close()

    async def _write_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            if not await self._write_group(group, last=len(group) == 1):
                for waiting in group:  # one of them cannot be stored: the others shall not suffer
                    await self._write_group([waiting], last=True)

    async def _write_group(self, group: Sequence[_Waiting], *, last: bool) -> bool:
        """Write in one transaction and tell those who wait; False to try one by one instead."""
        work = partial(self._store.write_many, [waiting[:2] for waiting in group])
        try:
            await self._in(self._writer, work)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            if not last and not isinstance(error, StoreUnavailable):
                return False
            _finish(group, error)
        else:
            _finish(group, None)
        return True

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _finish(group: Sequence[_Waiting], error: Exception | None) -> None:
    for _, _, done in group:
        if done.done():  # its agent went away meanwhile
            continue
        if error:
            done.set_exception(error)
        else:
            done.set_result(None)
