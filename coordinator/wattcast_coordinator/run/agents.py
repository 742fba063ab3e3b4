"""What the coordinator does with what agents say."""

import time
from collections.abc import Awaitable, Callable

from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock
from wattcast_core.commands import CommandResult
from wattcast_core.messages import PROTOCOL_VERSION, Batch, Hello, Rejected, Welcome


class Handler:
    """Stores and posts batches; agents are welcome only at the leader.

    Args:
        token: the fencing token of the present term, 0 if this coordinator does not lead.

    Attributes:
        joined: called when an agent was welcomed; set by who leads.
    """

    joined: Callable[[Hello], Awaitable[None]]

    def __init__(
        self, store: AsyncStore, board: Board, clock: DataClock, token: Callable[[], int]
    ) -> None:
        self._store, self._board, self._clock, self._token = store, board, clock, token

    async def on_hello(self, hello: Hello) -> Welcome | Rejected:
        """Welcome an agent with the token and the highest sequence that is stored."""
        if not (token := self._token()):
            return Rejected("this coordinator does not lead now; try the leader, or again")
        if hello.highest_token > token:
            return Rejected(
                f"agent {hello.agent} has seen token {hello.highest_token}, this term has {token}:"
                " etcd's data was lost or exchanged; remedy: restore it, or reset the agent's state"
            )
        self._board.racks[hello.rack] = hello.agent
        await self.joined(hello)
        return Welcome(PROTOCOL_VERSION, token, self._store.acknowledged(hello.agent))

    async def on_batch(self, agent: str, batch: Batch) -> None:
        """Return when the batch is durable, and known to the decision cycle."""
        await self._store.write(agent, batch)
        self._board.take(agent, batch, self._clock.now(time.time()))

    async def on_result(self, result: CommandResult) -> None:
        """Hand a command's result to whoever sent it."""
        self._board.take_answer(result)

    async def on_gone(self, agent: str) -> None:
        """Nothing to do: its facts grow stale by themselves, and are judged so."""
