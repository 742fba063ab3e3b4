"""Carries out effects: an intent is written under the fencing token before anything is done."""

import asyncio
import logging
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
)
from wattcast_coordinator.run.parts import Parts
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.errors import WattcastError

_ANSWER_REAL_S = 60.0  # an agent answers after its own read-back; silence for longer is "unknown"
_AGAIN_REAL_S = 5.0  # a lost command or result is asked for again; its id is executed once
_POLL_REAL_S = 0.1
_STALE_STEPS = 2.0  # a move not begun by then rests on a room that has changed
_log = logging.getLogger(__name__)
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
                ttl_s = self._parts.control.decision.command_ttl_real_s
                order: dict[str, str | float] = {
                    "ats": transfer.ats,
                    "from": transfer.from_source,
                    "to": transfer.to_source,
                    "expires_real_s": time.time() + ttl_s,
                }
                self._command(await self._issue(intent, IntentKind.TRANSFER, order))
            case AdoptPlan(plan):
                for line in plan.why:
                    await self._parts.tell(RaiseEvent(Severity.INFO, "plan", line, plan.made_at))
            case OfferShedList(at, workloads, why):
                text = f"{why}; shed in this order: {', '.join(workloads) or 'nothing to shed'}"
                await self._parts.tell(RaiseEvent(Severity.CRITICAL, "shed_list", text, at))

    async def resume(self) -> None:
        """Take up what an earlier term left open: observe the world, then go on."""
        self._board.forget_running()
        for intent in await self._intents.open():
            async with self._parts.guard(f"resuming {intent.id}"):
                await self._resume(intent)

    async def _resume(self, intent: Intent) -> None:
        what, now = intent.what, self._parts.now()
        stale_s = _STALE_STEPS * self._parts.control.decision.step_s
        if intent.kind is IntentKind.TRANSFER and what.get("ats") in self._racks:
            self._command(intent)
        elif intent.kind is IntentKind.TRANSFER:
            why = f"transfer switch {what.get('ats')} is not in the site file"
            await self._intents.advance(intent, IntentState.FAILED, now, why)
        elif intent.state is IntentState.ISSUED and (now - intent.at).total_seconds() > stale_s:
            why = "not begun before its leader was lost, and too old now"
            await self._intents.advance(intent, IntentState.FAILED, now, why)
        else:
            workload, source, target = (str(what[key]) for key in ("workload", "from", "to"))
            self._begin(intent, Move(workload, source, target, 0.0, "resumed"))

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
        self._board.moves[intent.id] = status
        result = f"{status.step or status.state}; {status.duration_s:.1f} s"
        await self._intents.advance(intent, _MOVE_ENDS[status.state], self._parts.now(), result)

    async def _run(self, ident: str, move: Move, progress: Callable[[str], None]) -> MoveStatus:
        try:
            return await self._parts.migrator.run(ident, move, progress)
        except Exception as error:  # noqa: BLE001 - one move must not end the others
            if not isinstance(error, WattcastError):
                _log.exception("move %s", ident)
            text = f"move of {move.workload} to {move.target} failed: {error}"
            event = RaiseEvent(Severity.CRITICAL, "move_failed", text, self._parts.now())
            await self._parts.tell(event)
            return MoveStatus(ident, move, MoveState.FAILED, str(error))

    def _command(self, intent: Intent) -> None:
        """The id and the expiry stay over terms, the token is this term's.

        An agent that has carried it out answers with its first result, one that has not refuses
        it once it expired: a decision is never carried out late.
        """
        what = intent.what
        command = AtsCommand(
            intent.id,
            self._token,
            float(what.get("expires_real_s", 0.0)),
            str(what["ats"]),
            str(what["from"]),
            str(what["to"]),
        )
        self._tasks.create_task(self._transfer(intent, command))

    async def _transfer(self, intent: Intent, command: AtsCommand) -> None:
        if await self._reach(intent, command):
            intent = await self._intents.advance(intent, IntentState.RUNNING, self._parts.now())
            result = await self._ask(command)
        else:
            why = f"no agent of rack {self._racks[command.ats]} was connected in time"
            result = self._result(command, Outcome.REFUSED, f"{why}; nothing was sent")
        self._board.results.append(result)
        end = _OUTCOME_ENDS.get(result.outcome, IntentState.FAILED)
        text = f"{result.outcome}{f': {result.why}' if result.why else ''}"
        await self._intents.advance(intent, end, self._parts.now(), text)

    async def _reach(self, intent: Intent, command: AtsCommand) -> bool:
        """Wait for the rack's agent; what may have been sent before must be asked for anyway."""
        while intent.state is IntentState.ISSUED and not self._agent(command.ats):
            if time.time() > command.expires_real_s:
                return False
            await asyncio.sleep(_POLL_REAL_S)
        return True

    async def _ask(self, command: AtsCommand) -> CommandResult:
        """Send until answered: at once, to each new connection, and every few seconds."""
        answer = self._board.answer(command.id)
        end_s, again_s, sent_to = time.monotonic() + _ANSWER_REAL_S, 0.0, ""
        while time.monotonic() < end_s:
            agent = self._agent(command.ats)
            if agent and (agent != sent_to or time.monotonic() > again_s):
                self._parts.agents.send(agent, command)
                again_s = time.monotonic() + _AGAIN_REAL_S
            sent_to = agent
            done, _ = await asyncio.wait({answer}, timeout=_POLL_REAL_S)
            if done:
                return answer.result()
        why = f"no answer within {_ANSWER_REAL_S:.0f} s; look at the switch"
        return self._result(command, Outcome.UNKNOWN, why)

    def _agent(self, ats: str) -> str:
        """The connected agent of a switch's rack, empty if there is none."""
        agent = self._board.racks.get(self._racks[ats], "")
        return agent if agent in self._parts.agents.connected else ""

    def _result(self, command: AtsCommand, outcome: Outcome, why: str) -> CommandResult:
        return CommandResult(command.id, command.ats, self._token, outcome, why, self._parts.now())
