"""Carries out effects: an intent is written under the fencing token before anything is done."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from wattcast_coordinator.coord.intents import Intent, IntentKind, Intents, IntentState
from wattcast_coordinator.ports import (
    AdoptPlan,
    CommandAts,
    Effect,
    Move,
    MoveState,
    MoveStatus,
    OfferShedList,
    RaiseEvent,
    Severity,
    StartMove,
    Transfer,
)
from wattcast_coordinator.run.parts import Parts
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.errors import WattcastError

_ANSWER_REAL_S = 60.0  # an agent answers after its own read-back; silence for longer is "unknown"
_RECONNECT_REAL_S = 10.0
_RECONNECT_TRIES = 50
_MOVE_ENDS = {
    MoveState.DONE: IntentState.DONE,
    MoveState.UNDONE: IntentState.UNDONE,
    MoveState.FAILED: IntentState.FAILED,
}
_OUTCOME_ENDS = {Outcome.TRANSFERRED: IntentState.DONE, Outcome.REFUSED: IntentState.REFUSED}


class Actions:
    """The hands of one term: everything it starts ends with the term's task group."""

    def __init__(
        self, parts: Parts, intents: Intents, token: int, tasks: asyncio.TaskGroup
    ) -> None:
        self._parts, self._board, self._intents = parts, parts.board, intents
        self._token, self._tasks = token, tasks
        self._racks = {ats.id: ats.rack for ats in parts.site.ats}

    async def do(self, effect: Effect) -> None:
        """Carry out one effect of the decision core."""
        match effect:
            case RaiseEvent():
                await self._parts.tell(effect)
            case StartMove(intent, move):
                what = {"workload": move.workload, "from": move.source, "to": move.target}
                self._begin(await self._issue(intent, IntentKind.MOVE, what), move)
            case CommandAts(intent, transfer):
                what = {
                    "ats": transfer.ats,
                    "from": transfer.from_source,
                    "to": transfer.to_source,
                }
                await self._command(await self._issue(intent, IntentKind.TRANSFER, what), transfer)
            case AdoptPlan(plan):
                for line in plan.why:
                    await self._parts.tell(RaiseEvent(Severity.INFO, "plan", line, plan.made_at))
            case OfferShedList(at, workloads, why):
                text = f"{why}; shed in this order: {', '.join(workloads) or 'nothing to shed'}"
                await self._parts.tell(RaiseEvent(Severity.CRITICAL, "shed_list", text, at))

    async def resume(self) -> None:
        """Take up what an earlier term left open: observe the world, then go on."""
        for intent in await self._intents.open():
            what = intent.what
            if intent.kind is IntentKind.MOVE:
                move = Move(
                    str(what["workload"]), str(what["from"]), str(what["to"]), 0.0, "resumed"
                )
                self._begin(intent, move)
            else:
                # The same id: an agent that has it already answers with its first result.
                transfer = Transfer(
                    str(what["ats"]), str(what["from"]), str(what["to"]), 0.0, "resumed"
                )
                self._tasks.create_task(self._command_again(intent, transfer))

    async def _command_again(self, intent: Intent, transfer: Transfer) -> None:
        """Give the rack's agent time to find this coordinator first."""
        for _ in range(_RECONNECT_TRIES):
            if self._racks[transfer.ats] in self._board.racks:
                break
            await asyncio.sleep(_RECONNECT_REAL_S / _RECONNECT_TRIES)
        await self._command(intent, transfer)

    async def _issue(self, ident: str, kind: IntentKind, what: Mapping[str, str | float]) -> Intent:
        return await self._intents.issue(ident, kind, what, self._parts.now())

    def _begin(self, intent: Intent, move: Move) -> None:
        self._board.moves[intent.id] = MoveStatus(intent.id, move, MoveState.RUNNING)
        self._tasks.create_task(self._migrate(intent, move))

    async def _migrate(self, intent: Intent, move: Move) -> None:
        def progress(step: str) -> None:
            self._board.moves[intent.id] = replace(self._board.moves[intent.id], step=step)

        intent = await self._intents.advance(intent, IntentState.RUNNING, self._parts.now())
        status = await self._run(intent.id, move, progress)
        if status.state is MoveState.DONE:
            self._board.placement[move.workload] = move.target
        self._board.durations_real_s[intent.id] = status.duration_s
        result = f"{status.step or status.state}; {status.duration_s:.1f} s"
        await self._intents.advance(intent, _MOVE_ENDS[status.state], self._parts.now(), result)
        self._board.moves[intent.id] = status

    async def _run(self, ident: str, move: Move, progress: Callable[[str], None]) -> MoveStatus:
        try:
            return await self._parts.migrator.run(ident, move, progress)
        except WattcastError as error:
            text = f"move of {move.workload} to {move.target} failed: {error}"
            event = RaiseEvent(Severity.CRITICAL, "move_failed", text, self._parts.now())
            await self._parts.tell(event)
            return MoveStatus(ident, move, MoveState.FAILED, str(error))

    async def _command(self, intent: Intent, transfer: Transfer) -> None:
        agent = self._board.racks.get(self._racks[transfer.ats], "")
        expires = time.time() + self._parts.control.decision.command_ttl_real_s
        command = AtsCommand(
            intent.id,
            self._token,
            expires,
            transfer.ats,
            transfer.from_source,
            transfer.to_source,
        )
        if not self._parts.agents.send(agent, command):
            why = f"no agent of rack {self._racks[transfer.ats]} is connected; nothing was sent"
            await self._settle(intent, self._result(command, Outcome.REFUSED, why))
            return
        intent = await self._intents.advance(intent, IntentState.RUNNING, self._parts.now())
        self._tasks.create_task(self._await_answer(intent, command))

    async def _await_answer(self, intent: Intent, command: AtsCommand) -> None:
        try:
            async with asyncio.timeout(_ANSWER_REAL_S):
                result = await self._board.answer(command.id)
        except TimeoutError:
            why = f"no answer within {_ANSWER_REAL_S:.0f} s; look at the switch"
            result = self._result(command, Outcome.UNKNOWN, why)
        await self._settle(intent, result)

    async def _settle(self, intent: Intent, result: CommandResult) -> None:
        end = _OUTCOME_ENDS.get(result.outcome, IntentState.FAILED)
        text = f"{result.outcome}{f': {result.why}' if result.why else ''}"
        await self._intents.advance(intent, end, self._parts.now(), text)
        self._board.results.append(result)

    def _result(self, command: AtsCommand, outcome: Outcome, why: str) -> CommandResult:
        return CommandResult(command.id, command.ats, self._token, outcome, why, self._parts.now())
