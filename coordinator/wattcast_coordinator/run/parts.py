"""What the running coordinator is made of; built once in ``serve``, handed to each term."""

import time
from dataclasses import dataclass
from datetime import datetime

from wattcast_configs.control import Control
from wattcast_configs.site import Site
from wattcast_coordinator.act.migration import Migrator
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.ports import Executor, RaiseEvent
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock


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
        """Log an event, show it and keep it."""
        self.board.note(event)
        await self.store.write_event(event)
