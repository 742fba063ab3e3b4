"""What the coordinator does with what agents say."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from wattcast_configs.site import Site
from wattcast_coordinator.coord.racks import RackLease
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.run.screen import Screened, screen, within
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock
from wattcast_core.commands import CommandResult
from wattcast_core.errors import StoreUnavailable, Unreachable, WattcastError
from wattcast_core.messages import (
    SPOKEN_VERSIONS,
    Batch,
    Beat,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.models import ModelReport

_LEASES_SINCE = 3  # version of the protocol
_log = logging.getLogger(__name__)

_AGAIN_REAL_S = 0.5


class Handler:
    """Stores and posts batches; agents are welcome only at the leader.

    Args:
        token: the fencing token of the present term, 0 if this coordinator does not lead.
        ahead_s: how far ahead of the data clock an agent's clock may be (data).

    Attributes:
        joined: called when an agent was welcomed; set by who leads.
        tell: where events go.
        audit: where results of commands go.
        reported: where an agent's words on its models go.
    """

    joined: Callable[[Hello], Awaitable[None]]
    tell: Callable[[RaiseEvent], Awaitable[None]]
    audit: Callable[[CommandResult, datetime], Awaitable[None]]
    reported: Callable[[str, ModelReport], Awaitable[None]]

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
        self._told: set[tuple[str, str]] = set()
        self._store_away = False

    async def on_hello(self, hello: Hello) -> Welcome | Rejected:
        """Welcome an agent with the token and the highest sequence that is stored."""
        if not (token := self._token()):
            return Rejected("this coordinator does not lead now; try the leader, or again")
        if why := self._misfit(hello, token):
            return Rejected(why)
        self._board.agent_racks[hello.agent] = hello.rack
        if not (max(hello.versions) >= _LEASES_SINCE and self._is_others(hello)):
            self._board.racks[hello.rack] = hello.agent
        await self.joined(hello)
        return Welcome(
            max(set(hello.versions) & set(SPOKEN_VERSIONS)),
            token,
            await self._store.acknowledged(hello.agent),
        )

    async def see(self, agent: str, batch: Batch) -> Batch:
        """Post what can be believed of a batch; the decision cycle knows it before it is stored.

        Raises:
            Unreachable: this coordinator no longer leads; the agent shall look for who does.
        """
        if not self._token():
            raise Unreachable("this coordinator does not lead any more; look for the leader")
        now = self._clock.now(time.time())
        batch = await self._own(agent, batch, now)
        screened = screen(batch, now + timedelta(seconds=self._ahead_s))
        await self._complain(agent, screened, now)
        self._board.take(agent, screened.batch, now)
        return screened.batch

    async def keep(self, agent: str, batch: Batch) -> None:
        """Return when the batch is durable, however long the database is away."""
        while True:
            try:
                await self._store.write(agent, batch)
            except StoreUnavailable as error:
                await self._note_store(str(error))
                await asyncio.sleep(_AGAIN_REAL_S)
            else:
                return await self._note_store("")

    async def on_beat(self, agent: str, beat: Beat) -> Lease | None:
        """Renew the lease of the agent's rack, or grant it."""
        rack, now_s = self._board.agent_racks.get(agent, ""), asyncio.get_running_loop().time()
        leases, at = self._board.leases, self._clock.now(time.time())
        if leases is None or not self._token():
            return None
        before = leases.of(rack)
        try:
            lease = await leases.beat(
                rack, agent, now_s, at, epoch=beat.epoch, leaving=beat.leaving
            )
        except WattcastError as error:
            _log.warning("lease of rack %s: %s", rack, error)
            return None
        await self._note_lease(before, lease, at)
        redundant = leases.redundant(rack, self._board.agent_racks, now_s)
        self._board.redundant[rack] = redundant
        copy = lease.copy if lease.holder == agent and not beat.holding else ""
        return Lease(beat.sent_real_s, time.time(), lease.epoch, lease.holder, redundant, copy)

    async def on_copy(self, agent: str, copy: Copy) -> bool:
        """Keep a holder's safety state in etcd, for whoever takes over."""
        rack, leases = self._board.agent_racks.get(agent, ""), self._board.leases
        try:
            return leases is not None and await leases.keep(rack, agent, copy.text)
        except WattcastError as error:
            _log.warning("safety state of rack %s: %s", rack, error)
            return False

    def _is_others(self, hello: Hello) -> bool:
        return self._board.leases is not None and self._board.leases.of(hello.rack).holder not in (
            "",
            hello.agent,
        )

    async def _note_lease(self, before: RackLease, lease: RackLease, at: datetime) -> None:
        if lease.holder:
            self._board.racks[lease.rack] = lease.holder
        if lease.epoch != before.epoch and before.holder not in ("", lease.holder):
            text = f"{lease.holder} took over rack {lease.rack} from {before.holder}"
            await self.tell(RaiseEvent(Severity.WARNING, "takeover", text, at))

    async def _own(self, agent: str, batch: Batch, now: datetime) -> Batch:
        """Without what was read while another agent held the rack: that one's rows count."""
        leases, rack = self._board.leases, self._board.agent_racks.get(agent, "")
        lease = leases.of(rack) if leases is not None else RackLease(rack)
        if not lease.holder:
            return batch
        own = within(batch, lease.spans(agent))
        if own is not batch and any(map(len, (batch.samples, batch.signatures))):
            text = f"{agent} read rack {lease.rack} while {lease.holder} held it; dropped"
            await self._once(agent, "not_holder", text, now)
        return own

    async def _complain(self, agent: str, screened: Screened, now: datetime) -> None:
        """Tell once an agent and kind what is wrong with its data."""
        if screened.future:
            text = f"{agent} sent readings from the future; dropped; remedy: check its clock"
            await self._once(agent, "future", text, now)
        if screened.invalid:
            text = (
                f"{agent} sent readings that cannot be (infinite, or negative watts or amperes);"
                " kept as gaps; remedy: check wiring and profile of its meters"
            )
            await self._once(agent, "invalid", text, now)

    async def _once(self, agent: str, kind: str, text: str, now: datetime) -> None:
        if (agent, kind) not in self._told:
            self._told.add((agent, kind))
            await self.tell(RaiseEvent(Severity.WARNING, kind, text, now))

    async def _note_store(self, why: str) -> None:
        """Tell when the database goes away, and when it is back."""
        if bool(why) == self._store_away:
            return
        self._store_away = bool(why)
        text = why or "the signature database takes rows again"
        severity = Severity.CRITICAL if why else Severity.INFO
        await self.tell(RaiseEvent(severity, "store", text, self._clock.now(time.time())))

    async def on_result(self, result: CommandResult) -> None:
        """Hand a command's result to whoever sent it."""
        self._board.take_answer(result)
        await self.audit(result, result.at)

    async def on_report(self, agent: str, report: ModelReport) -> None:
        """Hand an agent's word on a model to who keeps the models."""
        await self.reported(agent, report)

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
