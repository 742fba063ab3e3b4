"""One term of leadership: resume what was open, then a decision cycle at every step."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from wattcast_configs.models import BASE_SUMS
from wattcast_configs.sum_file import read_sums
from wattcast_coordinator.api.view import LeaderView
from wattcast_coordinator.coord.election import Deposed, Leadership
from wattcast_coordinator.coord.intents import IntentKind, Intents, IntentState
from wattcast_coordinator.coord.racks import Racks
from wattcast_coordinator.coord.registry import Registry
from wattcast_coordinator.coord.state import StateKeeper
from wattcast_coordinator.ports import Inputs, RaiseEvent, Severity
from wattcast_coordinator.run.actions import Actions
from wattcast_coordinator.run.feeds import FeedForecasts
from wattcast_coordinator.run.models import ModelDesk
from wattcast_coordinator.run.money import Money
from wattcast_coordinator.run.outlook import fans
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.prices import Costs
from wattcast_coordinator.run.training import Training
from wattcast_coordinator.run.upkeep import Upkeep
from wattcast_coordinator.run.view import LiveView
from wattcast_coordinator.step import State, step
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.errors import DataError, StoreUnavailable, Unreachable
from wattcast_core.messages import Hello
from wattcast_core.signal.steps import HISTORY
from wattcast_core.units import step_floor

_WINDOW_STEPS = 64
_ALIVE_STEPS = 2
_SHOW_REAL_S = 1.0
_RECALL_REAL_S = 60.0
_log = logging.getLogger(__name__)


class Leader:
    """Runs the decision cycle while this coordinator leads."""

    def __init__(self, parts: Parts, graph: Graph, view: LiveView, desk: ModelDesk) -> None:
        self._parts, self._graph, self._view, self._desk = parts, graph, view, desk
        self._decision = parts.control.decision
        self._registry: Registry | None = None
        self._money, self._costs = Money(parts, graph, view), Costs()
        self._recent_w: Mapping[str, Sequence[float]] = {}
        self._feeds = FeedForecasts(graph, None)

    async def lead(self, leadership: Leadership) -> None:
        """Lead until cancelled or deposed; errors are raised plainly, not in a group."""
        try:
            await self._lead(leadership)
        except ExceptionGroup as group:
            raise _cause(group) from group
        finally:
            self._view.leader, self._view.last = LeaderView(), None
            self._parts.board.leases = None
            self._desk.lay_down()

    async def _lead(self, leadership: Leadership) -> None:
        self._registry = Registry(leadership)
        keeper, intents = StateKeeper(leadership, self._parts.site.name), Intents(leadership)
        state = await self._load(keeper)
        await self._observe_placement(intents)
        await self._take_up_racks(leadership)
        await self._desk.take_up(leadership)
        self._feeds = FeedForecasts(self._graph, None)
        async with self._parts.guard("reading the network of sums"):
            self._feeds = FeedForecasts(self._graph, read_sums(BASE_SUMS))
        async with asyncio.TaskGroup() as tasks:
            actions = Actions(self._parts, intents, leadership.token, tasks)
            await actions.resume()
            text = f"{self._parts.control.id} leads with token {leadership.token}"
            event = RaiseEvent(Severity.INFO, "leader", text, self._parts.now())
            await self._parts.tell(event)
            self._view.leader = LeaderView(id=self._parts.control.id, token=leadership.token)
            tasks.create_task(self._show(intents))
            tasks.create_task(self._recall(self._feeds))
            tasks.create_task(self._parts.prices.keep(self._parts.now))
            upkeep = Upkeep(self._parts, Training(self._parts, self._desk, tasks).look)
            tasks.create_task(upkeep.run())
            await self._cycles(state, keeper, actions, upkeep)

    async def _take_up_racks(self, leadership: Leadership) -> None:
        racks = Racks(leadership, asyncio.get_running_loop().time())
        for problem in await racks.load():
            event = RaiseEvent(Severity.CRITICAL, "lease", problem, self._parts.now())
            await self._parts.tell(event)
        self._parts.board.leases = racks

    async def _recall(self, feeds: FeedForecasts) -> None:
        """Tell the forecasts of feeds the past week; without it, a day has to pass first."""
        async with self._parts.guard("recalling the past week of power"):
            feeds.resume(await self._parts.store.recent_power(HISTORY, _RECALL_REAL_S))

    async def joined(self, hello: Hello) -> None:
        """Enter a welcomed agent into the registry."""
        if self._registry is not None:
            await self._registry.join(hello.agent, hello.rack, self._parts.now())

    async def _cycles(
        self, state: State, keeper: StateKeeper, actions: Actions, upkeep: Upkeep
    ) -> None:
        at = step_floor(self._parts.now(), self._decision.step_s)
        while True:
            at = max(at + timedelta(seconds=self._decision.step_s), self._floor_now())
            await self._until_step(at)
            state = await self._cycle(at, state, keeper, actions)
            upkeep.cycle_done(at)

    async def _cycle(
        self, at: datetime, state: State, keeper: StateKeeper, actions: Actions
    ) -> State:
        async with self._parts.guard(f"decision cycle of {at:%H:%M}"):
            inputs = await self._inputs(at)
            # In a thread: while a plan is sought, leases and streams must go on.
            after, effects = await asyncio.to_thread(
                step, state, inputs, self._graph, self._decision
            )
            self._parts.board.note_reaction(time.time(), at)
            # Saved first: an action that a crash kept from being issued is seen to be missing
            # later, while one issued from a state that was lost would be planned a second time.
            await keeper.save(after.to_dict())
            state = after
            self._view.last = state, inputs
            self._parts.board.forget(inputs.moves, inputs.results)
            for effect in effects:
                async with self._parts.guard(type(effect).__name__):
                    await actions.do(effect)
                await self._parts.audit(effect, at)
            self._view.note_loads(at)
            self._view.note_risks(state.episodes)
            self._view.plan = state.plan.why if state.plan else ()
            self._view.fans = await asyncio.to_thread(
                fans, state, inputs, self._graph, self._decision, self._feeds
            )
        return state

    async def _show(self, intents: Intents) -> None:
        """Keep what people see of etcd and the store up to date."""
        while True:
            try:
                self._view.intents = {i.id: i for i in await intents.list()}
                self._view.counts = await self._parts.store.counts()
            except Exception as error:  # noqa: BLE001 - people see what was known last
                _log.warning("the page is out of date: %s", error)
            await asyncio.sleep(_SHOW_REAL_S)

    async def _inputs(self, at: datetime) -> Inputs:
        board = self._parts.board
        await self._remember_power()
        async with self._parts.guard("asking what power costs"):
            self._costs = await self._money.costs(at)
        return Inputs(
            now=at,
            speed=self._parts.clock.speed(time.time()),
            forecasts=dict(board.forecasts),
            signatures=dict(board.signatures),
            recent_w=self._recent_w,
            devices=dict(board.devices),
            placement=dict(board.placement),
            moves=tuple(board.moves.values()),
            results=tuple(board.results),
            agents=dict(board.agents),
            price_per_kwh=self._costs.now,
            hourly_per_kwh=self._costs.hourly,
            entry_per_kw=self._costs.entry,
            usage=board.usage.usage(board.placement, self._alive_since(at)),
        )

    async def _remember_power(self) -> None:
        """Correlation from what the store tells, or told last: a store away stops no decision."""
        try:
            self._recent_w = (await self._parts.store.recent_power(_WINDOW_STEPS)).power_w
        except StoreUnavailable as error:
            _log.warning("correlation rests on older power: %s", error)

    async def _until_step(self, at: datetime) -> None:
        """Wait for the step's end, then for its forecasts, but not for a silent agent."""
        start_real_s = self._parts.clock.real_s(at)
        await asyncio.sleep(max(0.0, start_real_s - time.time()))
        left_s = start_real_s + self._decision.settle_real_s - time.time()
        await self._parts.board.wait_complete(at, self._alive_since(at), left_s)

    def _alive_since(self, at: datetime) -> datetime:
        return at - timedelta(seconds=_ALIVE_STEPS * self._decision.step_s)

    def _floor_now(self) -> datetime:
        return step_floor(self._parts.now(), self._decision.step_s)

    async def _observe_placement(self, intents: Intents) -> None:
        """Where workloads are: as commissioned, then as moved, corrected by what is seen running.

        Moves count because the engine of a server may be silent just now.
        """
        placement = {w.id: w.server for w in self._parts.site.workload}
        for intent in sorted(await intents.list(), key=lambda i: i.at):
            moved = str(intent.what.get("workload"))
            target = str(intent.what.get("to"))
            known = moved in placement and target in self._graph.server
            if intent.kind is IntentKind.MOVE and intent.state is IntentState.DONE and known:
                placement[moved] = target
        async with self._parts.guard("asking the engines what runs"):
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


def _cause(group: ExceptionGroup[Exception]) -> Exception:
    """The error that speaks for a group: one that ends the term, else the first."""
    leaves = [_cause(e) if isinstance(e, ExceptionGroup) else e for e in group.exceptions]
    return next((e for e in leaves if isinstance(e, Deposed | Unreachable)), leaves[0])
