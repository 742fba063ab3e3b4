"""Observes the world of one migration, and does its steps."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wattcast_coordinator.act.app import WorkloadApp
from wattcast_coordinator.migrate.steps import Step, StepName
from wattcast_coordinator.migrate.world import Instance, World
from wattcast_coordinator.ports import Executor, Move, Redirector
from wattcast_core.errors import WattcastError


@dataclass(frozen=True, slots=True)
class Hands:
    """What one migration acts with; ``lease_s`` bounds how long requests are held (real)."""

    executor: Executor
    redirector: Redirector
    app: WorkloadApp
    move: Move
    lease_s: float

    async def observe(self, now_s: float) -> World:
        """How things stand; what does not answer is marked unknown."""
        source, target, (endpoints, active) = await asyncio.gather(
            self._instance(self.move.source), self._instance(self.move.target), self._proxy()
        )
        return World(now_s, source, target, endpoints, active.get(source.address, 0))

    async def do(self, step: Step, world: World) -> int:
        """Do one step; the number of records it brought over, where that is known."""
        return await self._deeds(step, world)[step.name]() or 0

    def _deeds(
        self, step: Step, world: World
    ) -> dict[StepName, Callable[[], Awaitable[int | None]]]:
        name, source, target = self.move.workload, self.move.source, self.move.target
        a, b = world.source.address, world.target.address
        proxy, app = self.redirector, self.app
        return {
            StepName.RETRIEVE: lambda: app.merge(b, a),
            StepName.STOP_STALE: lambda: self.executor.stop(name, target),
            StepName.DISCARD_STALE: lambda: self.executor.discard(name, target),
            StepName.PRE_COPY: self._pull,
            StepName.START: lambda: self._start(target),
            StepName.ATTACH: lambda: proxy.add(name, b),
            StepName.UP: lambda: proxy.wait_up(name, b),
            StepName.CATCH_UP: self._pull,
            StepName.QUIESCE: lambda: app.quiesce(a, self.lease_s),
            StepName.FINAL_COPY: self._pull,
            StepName.RELOAD: lambda: app.reload(b),
            StepName.SWITCH: lambda: proxy.switch(name, a, b),
            StepName.RELEASE: lambda: self._release(world),
            StepName.MERGE: lambda: app.merge(a, b),
            StepName.REVIVE: lambda: self._start(source),
            StepName.STOP_SOURCE: lambda: self.executor.stop(name, source),
            StepName.DETACH: lambda: proxy.remove(name, step.address),
            StepName.DISCARD_SOURCE: lambda: self.executor.discard(name, source),
            StepName.STOP_TARGET: lambda: self.executor.stop(name, target),
            StepName.DISCARD_TARGET: lambda: self.executor.discard(name, target),
        }

    async def _pull(self) -> None:
        await self.executor.pull(self.move.workload, self.move.source, self.move.target)

    async def _start(self, server: str) -> None:
        await self.executor.start(self.move.workload, server)

    async def _release(self, world: World) -> None:
        # A lapsed lease is no error here: the next observation shows it, and the saga merges.
        if world.source.gate:
            await self.app.release(world.source.address, world.source.gate.generation)

    async def _instance(self, server: str) -> Instance:
        try:
            address = await self.executor.address(self.move.workload, server)
            if not address:
                return Instance(kept=address is not None)
            healthy, gate = await asyncio.gather(self.app.healthy(address), self.app.gate(address))
        except WattcastError:
            return Instance(known=False)
        return Instance(kept=True, address=address, healthy=healthy, gate=gate)

    async def _proxy(self) -> tuple[dict[str, bool] | None, dict[str, int]]:
        """Endpoints of the workload, and requests in flight at those without traffic."""
        name = self.move.workload
        try:
            endpoints = dict(await self.redirector.endpoints(name))
            idle = [address for address, serving in endpoints.items() if not serving]
            active = [await self.redirector.active(name, address) for address in idle]
        except WattcastError:
            return None, {}
        return endpoints, dict(zip(idle, active, strict=True))
