"""The plan under way: take note of what became of its actions, start those whose time has come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.aggregate.standing import Shift
from wattcast_coordinator.ports import (
    CommandAts,
    Effect,
    Inputs,
    Move,
    MoveState,
    MoveStatus,
    Plan,
    RaiseEvent,
    Severity,
    StartMove,
    Transfer,
)
from wattcast_coordinator.risk.violations import excess_w
from wattcast_coordinator.step import supply
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.state import Action, Phase, State
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.units import epoch_s

ANSWER_STEPS = 2.0  # an action that nobody reports on for so long counts as failed
SHIFT_STEPS = 3.0  # readings show a finished move by then
_WORSE_W = 1.0
_NO_ANSWER = "no answer"


def intent(plan_id: str, kind: str, name: str) -> str:
    """Deterministic, so that a replay repeats no command: kind is ``move`` or ``ats``."""
    return f"{plan_id}/{kind}/{name}"


def absorb(
    state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> tuple[State, list[Effect]]:
    """Book finished, failed and unanswered actions; end the plan when nothing is left of it."""
    events: list[Effect] = []
    for action in state.actions:
        if action.phase is Phase.STARTED:
            state, more = _book(state, action, inputs, decision)
            events += more
    for result in inputs.results:
        if result.verified and state.locked.get(result.ats) == _NO_ANSWER:
            locked = {ats: why for ats, why in state.locked.items() if ats != result.ats}
            state = replace(state, locked=locked)
            text = f"ATS {result.ats} is free again: its late answer verifies the transfer"
            events.append(_event("ats_free", text, inputs.now, Severity.INFO))
        known = any(action.intent == result.id for action in state.actions)
        harmless = result.verified or result.outcome is Outcome.REFUSED
        if not (known or harmless) and result.ats in graph.node:
            state, more = _lock(state, result.ats, result.why or result.outcome.value, inputs.now)
            events += more
    state = replace(state, shifts=_recent(state.shifts, inputs.now, decision))
    state, more = _end(state, inputs.now, decision)
    return state, [*events, *more]


def drive(state: State, context: Context) -> tuple[State, list[Effect]]:
    """Start the actions that are due, each checked against the room as it is now."""
    plan = state.plan
    if plan is None:
        return state, []
    effects: list[Effect] = []
    wl_server = context.problem.instance.wl_server.copy()
    steps: list[Move | Transfer] = [*plan.transfers, *plan.moves]
    for step in sorted(steps, key=lambda step: step.start_s):
        kind, name = ("move", step.workload) if isinstance(step, Move) else ("ats", step.ats)
        action = next(a for a in state.actions if a.intent == intent(plan.id, kind, name))
        due = plan.made_at + timedelta(seconds=step.start_s) <= context.now
        if action.phase is not Phase.WAITING or not due:
            continue
        if isinstance(step, Move):
            why, effect = _try_move(state, step, context, wl_server)
        else:
            why, effect = _try_transfer(state, step, context)
        if effect is not None:
            state = _set(state, action, Phase.STARTED, context.now)
            effects.append(effect)
        elif why:
            state = _set(state, action, Phase.DROPPED, context.now)
            effects.append(_event("dropped", f"{name}: not started, {why}", context.now))
    return state, effects


def _book(
    state: State, action: Action, inputs: Inputs, decision: Decision
) -> tuple[State, list[Effect]]:
    move = next((m for m in _plan(state).moves if _is(state, action, "move", m.workload)), None)
    silent = epoch_s(inputs.now) - epoch_s(action.at) > ANSWER_STEPS * decision.step_s
    if move is not None:
        status = next((m for m in inputs.moves if m.intent == action.intent), None)
        return _book_move(state, action, move, status, inputs, decision, silent=silent)
    result = next((r for r in inputs.results if r.id == action.intent), None)
    return _book_transfer(state, action, result, inputs, decision, silent=silent)


def _book_move(
    state: State, action: Action, move: Move, status: MoveStatus | None, inputs: Inputs,
    decision: Decision, *, silent: bool,
) -> tuple[State, list[Effect]]:  # fmt: skip
    now = inputs.now
    if status is not None and status.state is MoveState.RUNNING:
        return state, []
    arrived = inputs.placement.get(move.workload) == move.target
    if status.state is MoveState.DONE if status else arrived:
        done_at = min(now, action.at + timedelta(seconds=action.lasts_s))
        shift = Shift(move.workload, move.source, move.target, action.watts_w, done_at)
        state = _rest(_set(state, action, Phase.DONE, now), move.workload, now, decision)
        return replace(state, shifts=(*state.shifts, shift)), []
    if status is None and not silent:
        return state, []
    why = f"{status.state.value} at {status.step}" if status else "no news of it"
    until = now + timedelta(seconds=decision.dwell_s)
    state = _set(state, action, Phase.FAILED, now)
    state = replace(state, no_target={**state.no_target, move.target: until})
    text = f"{move.workload} did not move to {move.target} ({why}); it takes nothing for now"
    return state, [_event("move_failed", text, now)]


def _book_transfer(
    state: State, action: Action, result: CommandResult | None, inputs: Inputs,
    decision: Decision, *, silent: bool,
) -> tuple[State, list[Effect]]:  # fmt: skip
    if result is None and not silent:
        return state, []
    if result is not None and result.verified:
        state = _set(state, action, Phase.DONE, inputs.now)
        return _rest(state, action.name, inputs.now, decision), []
    if result is not None and result.outcome is Outcome.REFUSED:
        # Nothing was written: no reason to bar the switch for good.
        state = _rest(
            _set(state, action, Phase.FAILED, inputs.now), action.name, inputs.now, decision
        )
        text = f"ATS {action.name} was not commanded: {result.why}"
        return state, [_event("ats_refused", text, inputs.now)]
    why = f"{result.outcome.value}: {result.why}" if result else _NO_ANSWER
    return _lock(_set(state, action, Phase.FAILED, inputs.now), action.name, why, inputs.now)


def _lock(state: State, ats: str, why: str, now: datetime) -> tuple[State, list[Effect]]:
    text = f"ATS {ats} is locked until an operator clears it: {why}"
    state = replace(state, locked={**state.locked, ats: why})
    return state, [_event("ats_locked", text, now, Severity.CRITICAL)]


def _end(state: State, now: datetime, decision: Decision) -> tuple[State, list[Effect]]:
    """Drop what can no longer be started; forget a plan whose actions are all over."""
    plan = state.plan
    if plan is None:
        return state, []
    failed = any(a.phase is Phase.FAILED for a in state.actions)
    patience_s = 2 * (plan.makespan_s + decision.step_s)
    late = epoch_s(now) - epoch_s(plan.made_at) > patience_s
    for action in state.actions:
        if action.phase is Phase.WAITING and (failed or late):
            state = _set(state, action, Phase.DROPPED, now)
    if any(a.phase in {Phase.WAITING, Phase.STARTED} for a in state.actions):
        return state, []
    done = sum(a.phase is Phase.DONE for a in state.actions)
    text = f"{plan.id}: {done} of {len(state.actions)} actions done"
    kind = "plan_done" if done == len(state.actions) else "plan_cut_short"
    severity = Severity.INFO if kind == "plan_done" else Severity.WARNING
    # What was seen before the plan is no evidence about the room after it.
    state = replace(state, plan=None, actions=(), seen=())
    return state, [_event(kind, text, now, severity)]


def _try_move(
    state: State, move: Move, context: Context, wl_server: IntArray
) -> tuple[str, Effect | None]:
    """(why it is dropped, effect); neither means that it waits. Moves it on in ``wl_server``."""
    graph, problem = context.graph, context.problem
    at = context.inputs.placement.get(move.workload, move.source)
    if at != move.source:
        return f"it is on {at}, not on {move.source}", None
    if {move.source, move.target} & {*problem.stale, *state.no_target}:
        return "readings of its servers are no longer fresh", None
    if (graph.feeds_of(move.source) | graph.feeds_of(move.target)) & problem.frozen:
        return "a feed concerned is out of bounds now", None
    if _running(state, context.inputs) >= context.decision.max_parallel:
        return "", None
    trial = wl_server.copy()
    trial[problem.workloads.index(move.workload)] = graph.server[move.target]
    if _excess_w(context, trial) > _excess_w(context, wl_server) + _WORSE_W:
        return "", None
    wl_server[:] = trial
    return "", StartMove(intent(_plan(state).id, "move", move.workload), move)


def _excess_w(context: Context, wl_server: IntArray) -> float:
    loads = Loads(context.problem.instance)
    return excess_w(loads.evaluate(wl_server), loads.limits())


def _try_transfer(state: State, transfer: Transfer, context: Context) -> tuple[str, Effect | None]:
    """(why it is dropped, effect); neither means that it waits."""
    why = _bar(state, transfer, context) or _harm(transfer, context)
    if why:
        return why, None
    if _target_feed(context.graph, transfer) in _feeds_in_motion(state, context.graph):
        return "", None
    return "", CommandAts(intent(_plan(state).id, "ats", transfer.ats), transfer)


def _bar(state: State, transfer: Transfer, context: Context) -> str:
    """Why the switch may not be commanded now, as far as it and its plan are concerned."""
    instance, node = context.problem.instance, context.graph.node[transfer.ats]
    device = context.inputs.devices.get(transfer.ats)
    why = supply.doubt(device, context.now, context.decision) or state.locked.get(transfer.ats, "")
    if why:
        return why
    bars = {
        "one of its sources is lost": instance.node_alt[node] < 0,
        f"it is no longer on source {transfer.from_source}": (
            "AB"[int(instance.ats_source[node])] != transfer.from_source
        ),
        "it is barred, or a feed concerned is out of bounds now": (
            not np.isfinite(instance.ats_cost[node])
        ),
        "an action of its plan was dropped": any(a.phase is Phase.DROPPED for a in state.actions),
    }
    return next((text for text, barred in bars.items() if barred), "")


def _harm(transfer: Transfer, context: Context) -> str:
    """What the transfer would do to the room as it is now; the plan was made on older forecasts."""
    instance = context.problem.instance
    trial = instance.ats_source.copy()
    trial[context.graph.node[transfer.ats]] = "AB".index(transfer.to_source)
    loads = Loads(instance)
    limits_w = loads.limits()
    before_w = excess_w(loads.evaluate(), limits_w)
    if excess_w(loads.evaluate(None, trial), limits_w) > before_w + _WORSE_W:
        return "it would overload a node, or leave one insecure, as things are now"
    return ""


def _target_feed(graph: Graph, transfer: Transfer) -> str:
    node = graph.node[transfer.ats]
    leaf = graph.parent[node] if transfer.to_source == "A" else graph.alt[node]
    return ", ".join(sorted(graph.feeds_of_node(graph.nodes[int(leaf)])))


def _feeds_in_motion(state: State, graph: Graph) -> frozenset[str]:
    started = {a.name for a in state.actions if a.phase is Phase.STARTED}
    return frozenset(_target_feed(graph, t) for t in _plan(state).transfers if t.ats in started)


def _running(state: State, inputs: Inputs) -> int:
    """Moves in motion: reported ones, and started ones that nobody has reported yet."""
    reported = {m.intent: m.state for m in inputs.moves}
    moves = {intent(_plan(state).id, "move", m.workload) for m in _plan(state).moves}
    unreported = sum(
        a.phase is Phase.STARTED and a.intent in moves and a.intent not in reported
        for a in state.actions
    )
    return unreported + sum(s is MoveState.RUNNING for s in reported.values())


def _plan(state: State) -> Plan:
    if state.plan is None:
        raise AssertionError("actions without a plan")  # the state's invariant
    return state.plan


def _is(state: State, action: Action, kind: str, name: str) -> bool:
    return action.intent == intent(_plan(state).id, kind, name)


def _set(state: State, action: Action, phase: Phase, now: datetime) -> State:
    actions = tuple(
        replace(a, phase=phase, at=now) if a.intent == action.intent else a for a in state.actions
    )
    return replace(state, actions=actions)


def _rest(state: State, name: str, now: datetime, decision: Decision) -> State:
    until = now + timedelta(seconds=decision.dwell_s)
    return replace(state, rests={**_kept(state.rests, now), name: until})


def _kept(times: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    return {name: until for name, until in times.items() if until > now}


def _recent(shifts: Sequence[Shift], now: datetime, decision: Decision) -> tuple[Shift, ...]:
    horizon_s = SHIFT_STEPS * decision.step_s
    return tuple(s for s in shifts if epoch_s(now) - epoch_s(s.at) <= horizon_s)


def _event(
    kind: str, text: str, now: datetime, severity: Severity = Severity.WARNING
) -> RaiseEvent:
    return RaiseEvent(severity, kind, text, now)
