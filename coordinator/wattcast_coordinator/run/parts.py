"""What the running coordinator is made of; built once in ``serve``, handed to each term."""

import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import assert_never

from wattcast_configs.control import Control
from wattcast_configs.site import Site
from wattcast_coordinator.act.migration import Migrator
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.coord.election import Deposed
from wattcast_coordinator.ports import (
    AdoptPlan,
    CommandAts,
    Effect,
    Executor,
    OfferShedList,
    RaiseEvent,
    Severity,
    StartMove,
)
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.run.prices import Prices
from wattcast_coordinator.store.contract import AuditEntry
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock
from wattcast_core.commands import CommandResult
from wattcast_core.errors import Unreachable, WattcastError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The edges and the board between them.

    Attributes:
        folder: where the coordinator's file was read from: its relative paths begin there.
    """

    control: Control
    site: Site
    clock: DataClock
    board: Board
    store: AsyncStore
    agents: AgentServer
    handler: Handler
    executor: Executor
    migrator: Migrator
    prices: Prices
    folder: Path = Path()

    def now(self) -> datetime:
        """Data time now."""
        return self.clock.now(time.time())

    async def tell(self, event: RaiseEvent) -> None:
        """Log an event, show it and keep it; nobody waits for the database."""
        self.board.note(event)
        self.store.write_event(event)

    async def audit(self, done: Effect | CommandResult, at: datetime) -> None:
        """Keep who did what; events have a table of their own."""
        if isinstance(done, RaiseEvent):
            return
        what, facts = type(done).__name__, json.dumps(asdict(done), default=str)
        actor, subject = self._who(done)
        self.store.write_audit(AuditEntry(at, actor, what, subject, facts))

    def _who(
        self, done: StartMove | CommandAts | OfferShedList | AdoptPlan | CommandResult
    ) -> tuple[str, str]:
        """Who did it, and to what."""
        match done:
            case StartMove(_, move):
                return self.control.id, move.workload
            case CommandAts(_, transfer):
                return self.control.id, transfer.ats
            case AdoptPlan(plan):
                return self.control.id, plan.id
            case OfferShedList():
                return self.control.id, "shed list"
            case CommandResult():
                return f"agent of {done.ats}", done.ats
            case _:
                assert_never(done)

    @asynccontextmanager
    async def guard(self, what: str) -> AsyncIterator[None]:
        """Tell of an error inside instead of raising it: the loop around goes on.

        Only what ends a term passes: Deposed, and etcd that does not answer (Unreachable).
        """
        try:
            yield
        except (Deposed, Unreachable):
            raise
        except Exception as error:  # noqa: BLE001 - told, not hidden
            if not isinstance(error, WattcastError):
                _log.exception("%s", what)
            text = f"{what} failed, the coordinator goes on: {type(error).__name__}: {error}"
            await self.tell(RaiseEvent(Severity.CRITICAL, "failed", text, self.now()))
