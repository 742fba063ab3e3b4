"""One term of leadership: resume what was open, then a decision cycle at every step."""

import asyncio
import time
from datetime import datetime, timedelta

from wattcast_coordinator.api.view import LeaderView
from wattcast_coordinator.coord.election import Leadership
from wattcast_coordinator.coord.intents import Intents
from wattcast_coordinator.coord.registry import Registry
from wattcast_coordinator.coord.state import StateKeeper
from wattcast_coordinator.ports import Inputs, RaiseEvent, Severity
from wattcast_coordinator.run.actions import Actions
from wattcast_coordinator.run.outlook import fans
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.view import LiveView
from wattcast_coordinator.step import State, step
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.errors import DataError
from wattcast_core.messages import Hello
from wattcast_core.units import step_floor

_WINDOW_STEPS = 64
_ALIVE_STEPS = 2
_PRUNE_CYCLES = 288
_SHOW_REAL_S = 1.0


class Leader:
    """Runs the decision cycle while this coordinator leads."""

    def __init__(self, parts: Parts, graph: Graph, view: LiveView) -> None:
        self._parts, self._graph, self._view = parts, graph, view
        self._decision = parts.control.decision
        self._registry: Registry | None = None

    async def lead(self, leadership: Leadership) -> None:
        """Lead until cancelled or deposed."""
        self._registry = Registry(leadership)
        keeper = StateKeeper(leadership, self._parts.site.name)
        state = await self._load(keeper)
        await self._observe_placement()
        async with asyncio.TaskGroup() as tasks:
            intents = Intents(leadership)
            actions = Actions(self._parts, intents, leadership.token, tasks)
            await actions.resume()
            text = f"{self._parts.control.id} leads with token {leadership.token}"
            event = RaiseEvent(Severity.INFO, "leader", text, self._parts.now())
            await self._parts.tell(event)
            self._view.leader = LeaderView(id=self._parts.control.id, token=leadership.token)
            tasks.create_task(self._show(intents))
            await self._cycles(state, keeper, actions)

    async def joined(self, hello: Hello) -> None:
        """Enter a welcomed agent into the registry."""
        if self._registry is not None:
            await self._registry.join(hello.agent, hello.rack, self._parts.now())

    async def _cycles(self, state: State, keeper: StateKeeper, actions: Actions) -> None:
        count = 0
        at = step_floor(self._parts.now(), self._decision.step_s)
        while True:
            at = max(at + timedelta(seconds=self._decision.step_s), self._floor_now())
            await self._until_step(at)
            state = await self._cycle(at, state, keeper, actions)
            count += 1
            if count % _PRUNE_CYCLES == 0:
                await self._parts.store.prune(at)

    async def _cycle(
        self, at: datetime, state: State, keeper: StateKeeper, actions: Actions
    ) -> State:
        inputs = await self._inputs(at)
        state, effects = step(state, inputs, self._graph, self._decision)
        self._parts.board.note_reaction(time.time(), at)
        # Saved first: an action that a crash kept from being issued is seen to be missing later,
        # while one issued from a state that was lost would be planned a second time.
        await keeper.save(state.to_dict())
        for effect in effects:
            await actions.do(effect)
        self._view.note_loads(at)
        self._view.note_risks(state.episodes)
        self._view.fans = fans(state, inputs, self._graph, self._decision)
        self._view.plan = state.plan.why if state.plan else ()
        return state

    async def _show(self, intents: Intents) -> None:
        """Keep what people see of etcd and the store up to date."""
        while True:
            self._view.intents = {i.id: i for i in await intents.list()}
            self._view.counts = await self._parts.store.counts()
            await asyncio.sleep(_SHOW_REAL_S)

    async def _inputs(self, at: datetime) -> Inputs:
        board = self._parts.board
        recent_w = await self._parts.store.recent_power_w(_WINDOW_STEPS)
        moves, results = board.take_news()
        return Inputs(
            now=at,
            speed=self._parts.clock.speed(time.time()),
            forecasts=dict(board.forecasts),
            signatures=dict(board.signatures),
            recent_w=recent_w,
            devices=dict(board.devices),
            placement=dict(board.placement),
            moves=moves,
            results=results,
            agents=dict(board.agents),
        )

    async def _until_step(self, at: datetime) -> None:
        """Wait for the step's end, then for its forecasts, but not for a silent agent."""
        start_real_s = self._parts.clock.real_s(at)
        await asyncio.sleep(max(0.0, start_real_s - time.time()))
        since = at - timedelta(seconds=_ALIVE_STEPS * self._decision.step_s)
        left_s = start_real_s + self._decision.settle_real_s - time.time()
        await self._parts.board.wait_complete(at, since, left_s)

    def _floor_now(self) -> datetime:
        return step_floor(self._parts.now(), self._decision.step_s)

    async def _observe_placement(self) -> None:
        """Where workloads are: as commissioned, corrected by what is seen running."""
        placement = {w.id: w.server for w in self._parts.site.workload}
        for workload, servers in (await self._parts.executor.placement()).items():
            if workload in placement and placement[workload] not in servers and servers:
                placement[workload] = servers[0]
        self._parts.board.placement = placement

    async def _load(self, keeper: StateKeeper) -> State:
        try:
            kept = await keeper.load()
            return State.from_dict(kept) if kept else State()
        except (DataError, KeyError, TypeError, ValueError) as error:
            text = f"saved state cannot be used ({error}); starting afresh from what is observed"
            event = RaiseEvent(Severity.WARNING, "state_lost", text, self._parts.now())
            await self._parts.tell(event)
            return State()
