"""The latest known facts about the site: fed by the agents' streams, read by the decision cycle."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from wattcast_coordinator.aggregate.usage import UsageMeter
from wattcast_coordinator.coord.racks import Racks
from wattcast_coordinator.ports import MoveState, MoveStatus, RaiseEvent, Severity
from wattcast_core.commands import CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.messages import Batch
from wattcast_core.signature import Signature
from wattcast_core.units import EPOCH

_REACTIONS_KEPT = 10_000
_EVENTS_KEPT = 500
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Board:
    """Newest forecast, signature and device state by id; an older one never replaces a newer."""

    def __init__(self) -> None:
        self.forecasts: dict[str, Forecast] = {}
        self.signatures: dict[str, Signature] = {}
        self.devices: dict[str, DeviceState] = {}
        self.agents: dict[str, datetime] = {}
        self.racks: dict[str, str] = {}  # rack -> the agent that reads it
        self.agent_racks: dict[str, str] = {}
        self.redundant: dict[str, bool] = {}
        self.leases: Racks | None = None  # while this coordinator leads
        self.placement: dict[str, str] = {}
        self.usage = UsageMeter()
        self.moves: dict[str, MoveStatus] = {}
        self.results: list[CommandResult] = []
        self.reactions_real_s: deque[float] = deque(maxlen=_REACTIONS_KEPT)
        self.durations_real_s: dict[str, float] = {}
        self.events: deque[RaiseEvent] = deque(maxlen=_EVENTS_KEPT)
        self._issued: dict[str, datetime] = {}
        self._answers: dict[str, asyncio.Future[CommandResult]] = {}
        self._changed = asyncio.Event()

    def take(self, agent: str, batch: Batch, now: datetime) -> None:
        """Enter a stored batch; what waited in a spool is history and enters only if newest."""
        _newest(self.signatures, batch.signatures, "server", "at")
        _newest(self.devices, batch.devices, "device", "at")
        _newest(self.forecasts, batch.forecasts, "server", "issued_at")
        self.usage.take(batch.samples)
        if batch.live:
            self.agents[agent] = now
        for forecast in batch.forecasts:
            self._issued[agent] = max(forecast.issued_at, self._issued.get(agent, EPOCH))
        self._changed.set()

    def complete(self, at: datetime, since: datetime) -> bool:
        """Whether every agent heard since ``since`` has sent its forecasts of step ``at``."""
        alive = [agent for agent, heard in self.agents.items() if heard >= since]
        return bool(alive) and all(self._issued.get(a, EPOCH) >= at for a in alive)

    async def wait_complete(self, at: datetime, since: datetime, patience_real_s: float) -> None:
        """Return when ``complete`` or when patience ends."""
        try:
            async with asyncio.timeout(max(0.0, patience_real_s)):
                while not self.complete(at, since):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def note(self, event: RaiseEvent) -> None:
        """Log an event and keep it among the newest."""
        level = logging.INFO if event.severity is Severity.INFO else logging.WARNING
        _log.log(level, "%s %s: %s", event.at.strftime("%H:%M"), event.kind, event.text)
        self.events.appendleft(event)

    def answer(self, command: str) -> asyncio.Future[CommandResult]:
        """The result of a command, as soon as its agent has sent it.

        Wait for it with ``asyncio.wait``: cancelling it would bar whoever waits in the next term.
        """
        loop = asyncio.get_running_loop()
        return self._answers.setdefault(command, loop.create_future())

    def take_answer(self, result: CommandResult) -> None:
        """Hand an agent's result to whoever waits for it."""
        future = self.answer(result.id)
        if not future.done():
            future.set_result(result)

    def forget(
        self, moves: Iterable[MoveStatus] = (), results: Iterable[CommandResult] = ()
    ) -> None:
        """Drop ended moves and results that a cycle has booked; what changed meanwhile stays."""
        for move in moves:
            if move.state is not MoveState.RUNNING and self.moves.get(move.intent) is move:
                del self.moves[move.intent]
        booked = {id(result) for result in results}
        self.results = [result for result in self.results if id(result) not in booked]

    def forget_running(self) -> None:
        """A new term takes up from etcd what is under way."""
        self.moves = {k: m for k, m in self.moves.items() if m.state is not MoveState.RUNNING}

    def note_reaction(self, decided_real_s: float, at: datetime) -> None:
        """Note how long the oldest reading behind this step's forecasts waited for the decision."""
        step = [f.sampled_real_s for f in self.forecasts.values() if f.issued_at == at]
        if sampled := [real_s for real_s in step if real_s > 0]:  # 0 or NaN: not told
            self.reactions_real_s.append(decided_real_s - min(sampled))


def _newest(known: dict[str, T], new: Iterable[T], name: str, time: str) -> None:
    """Enter rows in whatever order they come; of the same time the last one holds."""
    for item in new:
        before = known.get(getattr(item, name))
        if before is None or getattr(item, time) >= getattr(before, time):
            known[getattr(item, name)] = item
