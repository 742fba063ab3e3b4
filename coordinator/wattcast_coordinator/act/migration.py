"""Carries out migrations: observe, decide (``migrate.saga``), act, until it ends."""

import asyncio
import time
from collections.abc import Callable

from wattcast_coordinator.act.app import WorkloadApp
from wattcast_coordinator.act.hands import Hands
from wattcast_coordinator.migrate.memory import Limits, Memory, fail, learn, note
from wattcast_coordinator.migrate.saga import next_action
from wattcast_coordinator.migrate.steps import WAITS, End, Step, StepName
from wattcast_coordinator.migrate.world import World
from wattcast_coordinator.ports import Executor, Move, MoveStatus, Redirector
from wattcast_core.errors import WattcastError

_POLL_S, _RETRY_S = 0.05, 0.2


class Migrator:
    """Moves stateful workloads between servers without losing a request or a write.

    Nothing is logged for resuming: ``run`` called again for the same move after a crash at any
    point looks at the world and goes on.
    """

    def __init__(
        self,
        executor: Executor,
        redirector: Redirector,
        *,
        limits: Limits | None = None,
        lease_s: float = 10.0,
    ) -> None:
        """Take ``lease_s``: real seconds after which a held source opens by itself."""
        self._executor, self._redirector = executor, redirector
        self._limits, self._lease_s = limits or Limits(), lease_s
        self._app = WorkloadApp()
        self._busy: dict[str, asyncio.Lock] = {}

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._app.aclose()

    async def run(self, intent: str, move: Move, progress: Callable[[str], None]) -> MoveStatus:
        """Carry out a move; ends done, undone or failed, and raises no WattcastError.

        Args:
            intent: id of the intent, handed back.
            move: what to move; again after a crash: the same.
            progress: called with each step's name before it is done.
        """
        hands = Hands(self._executor, self._redirector, self._app, move, self._lease_s)
        async with self._busy.setdefault(move.workload, asyncio.Lock()):
            began_s = time.monotonic()
            end = await self._until_end(hands, Memory(began_s), progress)
        return MoveStatus(intent, move, end.state, end.why, time.monotonic() - began_s)

    async def _until_end(
        self, hands: Hands, memory: Memory, progress: Callable[[str], None]
    ) -> End:
        latest = None
        while True:
            world = await hands.observe(time.monotonic())
            memory = note(memory, world, self._limits)
            action = next_action(world, memory, self._limits)
            if isinstance(action, End):
                return action
            if action.name is not latest:
                latest = action.name
                progress(action.name)
            memory = await _attempt(hands, memory, action, world)


async def _attempt(hands: Hands, memory: Memory, step: Step, world: World) -> Memory:
    if step.name in WAITS:
        await asyncio.sleep(_POLL_S)
        return memory
    try:
        records = await hands.do(step, world)
    except (WattcastError, OSError) as error:
        await asyncio.sleep(_RETRY_S)
        return fail(memory, f"{step.name}: {error}")
    return learn(memory, step, world, records if step.name is StepName.MERGE else 0)
