"""What the running coordinator is made of; built once in ``serve``, handed to each term."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from wattcast_configs.control import Control
from wattcast_configs.site import Site
from wattcast_coordinator.act.migration import Migrator
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.coord.election import Deposed
from wattcast_coordinator.ports import Executor, RaiseEvent, Severity
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock
from wattcast_core.errors import Unreachable, WattcastError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The edges and the board between them."""

    control: Control
    site: Site
    clock: DataClock
    board: Board
    store: AsyncStore
    agents: AgentServer
    handler: Handler
    executor: Executor
    migrator: Migrator

    def now(self) -> datetime:
        """Data time now."""
        return self.clock.now(time.time())

    async def tell(self, event: RaiseEvent) -> None:
        """Log an event, show it and keep it; a full disk must not keep anyone from acting."""
        self.board.note(event)
        try:
            await self.store.write_event(event)
        except Exception:  # noqa: BLE001 - told in the log, and on the page
            _log.exception("event not stored: %s", event.text)

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
