"""What the leader does for the database after each decision cycle."""

from datetime import datetime, timedelta
from pathlib import Path

from wattcast_coordinator.run.parts import Parts

_PRUNE_CYCLES = 288


class Upkeep:
    """Adds up by minute, deletes what is old, takes backups; an error is told and stops nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._count = parts, 0

    async def begin(self) -> None:
        """A term begins: tell the database which meter measures which feed."""
        async with self._parts.guard("telling the database which meter is on which feed"):
            meters = {p.id: (p.feed, p.rack, "pdu") for p in self._parts.site.pdu}
            await self._parts.store.describe(meters, self._parts.now())

    async def after_cycle(self, at: datetime) -> None:
        """Do what is due at the end of the cycle of ``at``."""
        self._count += 1
        async with self._parts.guard("adding up by minute"):
            await self._parts.store.roll_up(at)
        if self._count % _PRUNE_CYCLES == 0:
            async with self._parts.guard("pruning the database"):
                await self._parts.store.prune(at)
        config = self._parts.control.store
        if config.backup_dir:
            async with self._parts.guard("taking a backup"):
                every = timedelta(days=config.backup_days)
                folder = self._parts.folder / Path(config.backup_dir)
                await self._parts.store.back_up(folder, at, every, config.backups_kept)
