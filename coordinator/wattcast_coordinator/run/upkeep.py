"""What the leader does for the database beside its decision cycles; none waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from wattcast_coordinator.aggregate.attribution import attribute
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.store.contract import WorkloadPower
from wattcast_core.units import EPOCH

_PRUNE_CYCLES = 288
_FRESH_STEPS = 2


class Upkeep:
    """Adds up by minute, deletes what is old, takes backups; an error is told and stops nothing."""

    def __init__(self, parts: Parts, care: Callable[[datetime], Awaitable[None]]) -> None:
        """Take the parts, and what cares for the models after each cycle."""
        self._parts, self._care, self._count = parts, care, 0
        self._at, self._ended = EPOCH, asyncio.Event()

    def cycle_done(self, at: datetime) -> None:
        """The cycle of ``at`` has ended; what is due is done beside the next ones."""
        self._at = at
        self._ended.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with self._parts.guard("telling the database which meter is on which feed"):
            meters = {p.id: (p.feed, p.rack, "pdu") for p in self._parts.site.pdu}
            await self._parts.store.describe(meters, self._parts.now())
        while True:
            await self._ended.wait()
            self._ended.clear()
            await self._after_cycle(self._at)

    async def _after_cycle(self, at: datetime) -> None:
        self._count += 1
        async with self._parts.guard("attributing watts to workloads"):
            await self._attribute(at)
        async with self._parts.guard("adding up by minute"):
            await self._parts.store.roll_up(at)
        async with self._parts.guard("watching the models"):
            await self._care(at)
        if self._count % _PRUNE_CYCLES == 0:
            async with self._parts.guard("pruning the database"):
                await self._parts.store.prune(at)
        config = self._parts.control.store
        if config.backup_dir:
            async with self._parts.guard("taking a backup"):
                every = timedelta(days=config.backup_days)
                folder = self._parts.folder / Path(config.backup_dir)
                await self._parts.store.back_up(folder, at, every, config.backups_kept)

    async def _attribute(self, at: datetime) -> None:
        """Keep the watts of each workload in the newest step of its server."""
        board, site = self._parts.board, self._parts.site
        sizes: dict[str, dict[str, float]] = {}
        for workload in site.workload:
            server = board.placement.get(workload.id, workload.server)
            sizes.setdefault(server, {})[workload.id] = workload.cpu
        since = at - timedelta(seconds=_FRESH_STEPS * self._parts.control.decision.step_s)
        usage = board.usage.usage(board.placement, since)
        idle_w = {server.id: server.idle_w for server in site.server}
        rows = [
            WorkloadPower(name, signature.at, server, watts.power_w, watts.idle_w)
            for server, here in sizes.items()
            if (signature := board.signatures.get(server)) and signature.at >= since
            for name, watts in attribute(
                signature.power_w, idle_w.get(server, 0.0), here, usage
            ).items()
        ]
        if rows:
            await self._parts.store.write_workloads(rows)
