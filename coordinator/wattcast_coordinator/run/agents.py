"""What the coordinator does with what agents say."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from wattcast_configs.site import Site
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock
from wattcast_core.commands import CommandResult
from wattcast_core.errors import Unreachable
from wattcast_core.messages import PROTOCOL_VERSION, Batch, Hello, Rejected, Welcome


class Handler:
    """Stores and posts batches; agents are welcome only at the leader.

    Args:
        token: the fencing token of the present term, 0 if this coordinator does not lead.
        ahead_s: how far ahead of the data clock an agent's clock may be (data).

    Attributes:
        joined: called when an agent was welcomed; set by who leads.
        tell: where events go.
    """

    joined: Callable[[Hello], Awaitable[None]]
    tell: Callable[[RaiseEvent], Awaitable[None]]

    def __init__(
        self,
        store: AsyncStore,
        board: Board,
        clock: DataClock,
        site: Site,
        token: Callable[[], int],
        ahead_s: float,
    ) -> None:
        self._store, self._board, self._clock, self._token = store, board, clock, token
        self._racks = {s.rack for s in site.server} | {p.rack for p in site.pdu}
        self._ahead_s = ahead_s
        self._told: set[str] = set()

    async def on_hello(self, hello: Hello) -> Welcome | Rejected:
        """Welcome an agent with the token and the highest sequence that is stored."""
        if not (token := self._token()):
            return Rejected("this coordinator does not lead now; try the leader, or again")
        if why := self._misfit(hello, token):
            return Rejected(why)
        self._board.racks[hello.rack] = hello.agent
        await self.joined(hello)
        return Welcome(PROTOCOL_VERSION, token, self._store.acknowledged(hello.agent))

    async def on_batch(self, agent: str, batch: Batch) -> None:
        """Return when the batch is durable, and known to the decision cycle.

        Raises:
            Unreachable: this coordinator no longer leads; the agent shall look for who does.
        """
        if not self._token():
            raise Unreachable("this coordinator does not lead any more; look for the leader")
        now = self._clock.now(time.time())
        sound = _until(batch, now + timedelta(seconds=self._ahead_s))
        if sound != batch and agent not in self._told:
            self._told.add(agent)
            text = f"{agent} sent readings from the future; dropped; remedy: check its clock"
            await self.tell(RaiseEvent(Severity.WARNING, "future", text, now))
        await self._store.write(agent, sound)
        self._board.take(agent, sound, now)

    async def on_result(self, result: CommandResult) -> None:
        """Hand a command's result to whoever sent it."""
        self._board.take_answer(result)

    async def on_gone(self, agent: str) -> None:
        """Nothing to do: its facts grow stale by themselves, and are judged so."""

    def _misfit(self, hello: Hello, token: int) -> str:
        if hello.highest_token > token:
            return (
                f"agent {hello.agent} has seen token {hello.highest_token}, this term has {token}:"
                " etcd's data was lost or exchanged; remedy: restore it, or reset the agent's state"
            )
        if hello.rack not in self._racks:
            known = ", ".join(sorted(self._racks))
            return f"rack '{hello.rack}' is not in the site file; known: {known}"
        return ""


def _until(batch: Batch, last: datetime) -> Batch:
    """Without what is dated later: one such row would bar all true ones after it."""
    return replace(
        batch,
        samples=tuple(s for s in batch.samples if s.at <= last),
        signatures=tuple(s for s in batch.signatures if s.at <= last),
        forecasts=tuple(f for f in batch.forecasts if f.issued_at <= last),
        devices=tuple(d for d in batch.devices if d.at <= last),
    )
