"""Reads what hangs on one connection, in a task of its own, so that nobody else waits for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wattcast_agent.devices.backoff import Backoff
from wattcast_agent.devices.compose import Answer
from wattcast_core.errors import DataError, WattcastError

_log = logging.getLogger(__name__)
_EARLY = 0.05  # of a period: beats are not exact, and the next one may be a whole beat late


class Member(Protocol):
    """Something that is read: a device, a server, the agent's own machine.

    Attributes:
        name: id of the device or server.
        budget_real_s: a reading that takes longer is given up.
    """

    name: str
    budget_real_s: float

    async def read(self) -> Answer:
        """Read it once; may raise anything."""

    def rest(self) -> None:
        """The sweep is over."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer and when it was asked for.

    Attributes:
        at: data time.
        at_s: monotonic seconds.
    """

    answer: Answer
    at: datetime
    at_s: float


class Worker:
    """Reads its members one after the other; those that failed last come last.

    Attributes:
        every_real_s: least real seconds between two sweeps, may change; 0 = at every beat.
        prompt: whether its last sweep was quick; a beat waits only for those.
        fresh: answers since they were last taken, by name.
    """

    def __init__(
        self,
        members: Sequence[Member],
        now: Callable[[], datetime],
        done: Callable[[float], None],
        patience_real_s: float,
        turn: float = 0.0,
    ) -> None:
        """Wire a worker.

        Args:
            members: what it reads; they share a connection.
            now: the data clock.
            done: told of each good reading, with the monotonic time at which it was due.
            patience_real_s: a sweep that takes longer is not prompt.
            turn: share of a period between the first two sweeps, so that workers take turns later.
        """
        self.every_real_s = 0.0
        self.prompt = True
        self.fresh: dict[str, Told] = {}
        self._members = list(members)
        self._now, self._done = now, done
        self._patience_real_s = patience_real_s
        self._next_s, self._turn = 0.0, turn
        self._failed: dict[str, bool] = {}
        self._backoffs = {m.name: Backoff(m.name) for m in members}
        self._sweep: asyncio.Task[None] | None = None

    def begin(self, due_s: float) -> asyncio.Task[None] | None:
        """Start a sweep that is due, unless the last one is still under way."""
        if self._sweep is not None and not self._sweep.done():
            self.prompt = False
            return None
        if due_s < self._next_s - _EARLY * self.every_real_s:
            return None
        self._next_s = self._after(due_s)
        self._sweep = asyncio.create_task(self._read_all(due_s))
        return self._sweep

    @property
    def busy(self) -> bool:
        """Whether a sweep is under way."""
        return self._sweep is not None and not self._sweep.done()

    async def close(self) -> None:
        """End the sweep under way."""
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)

    def _after(self, due_s: float) -> float:
        """When the next sweep is due: on the old beat, however late this one is."""
        every_s = self.every_real_s
        if not self._next_s or not every_s:
            return due_s + self._turn * every_s
        missed = max(0.0, (due_s - self._next_s) // every_s)
        return self._next_s + (missed + 1) * every_s

    async def _read_all(self, due_s: float) -> None:
        began_s = asyncio.get_running_loop().time()
        for member in sorted(self._members, key=lambda m: self._failed.get(m.name, False)):
            asked = Told(Answer(), self._now(), asyncio.get_running_loop().time())
            answer = await self._read(member)
            self._failed[member.name] = not (answer.words or answer.values)
            self.fresh[member.name] = Told(answer, asked.at, asked.at_s)
            if not self._failed[member.name]:
                self._done(due_s)
        for member in self._members:
            member.rest()
        took_s = asyncio.get_running_loop().time() - began_s
        self.prompt = took_s < self._patience_real_s

    async def _read(self, member: Member) -> Answer:
        loop, backoff = asyncio.get_running_loop(), self._backoffs[member.name]
        late = f"no complete answer within {member.budget_real_s:g} s"
        if (wait_s := backoff.wait_s(loop.time())) > 0:
            return Answer(problem=f"{late}; next try in {wait_s:.1f} s")
        try:
            async with asyncio.timeout(member.budget_real_s):
                answer = await member.read()
        except TimeoutError:
            if len(self._members) > 1:  # alone, it may take its time: nobody waits for it
                backoff.failed(loop.time())
            return Answer(problem=late)
        except asyncio.CancelledError as error:
            if _is_ending():
                raise
            return Answer(problem=_problem(error))
        except Exception as error:  # noqa: BLE001 - whatever one device does, the others go on
            return Answer(problem=_problem(error), garbled=isinstance(error, DataError))
        backoff.succeeded()
        return answer


def _is_ending() -> bool:
    """Whether this task was cancelled itself, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _problem(error: BaseException) -> str:
    if not isinstance(error, WattcastError):
        _log.error("unexpected while reading a device", exc_info=error)
    return str(error) or type(error).__name__
