"""The interlocks as one state machine: orders, readings and write answers in, acts out.

idle -> waiting -> commanded -> verifying -> settled (a result, kept for good).

A commissioning runs two commands of its own through the same machine (see ``commission``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from wattcast_agent.safety import commission, verify
from wattcast_agent.safety.decide import (
    HOUR_S,
    Proceed,
    Refused,
    Wait,
    authority,
    evidence,
    permission,
)
from wattcast_agent.safety.limits import CONFIRM_OF, Limits
from wattcast_agent.safety.notice import has_moved, notice
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import (
    Act,
    Answer,
    Kept,
    Moment,
    Phase,
    Running,
    Safety,
    Tell,
    Trial,
    Write,
)
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.units import epoch_s

Step = tuple[Safety, tuple[Act, ...]]
_RESULTS_KEPT = (
    1000  # of each sort: at 4 transfers an hour that is ten days; tokens fence older ones
)
# After these nobody knows what the switch will do next: a person must look.
_BARRING = (Outcome.MOVED_THEN_RETURNED, Outcome.PREFERENCE_SET_NOT_MOVED, Outcome.UNKNOWN)


def order(safety: Safety, command: AtsCommand, moment: Moment, limits: Limits | None) -> Step:
    """A command arrived; ``limits`` is None for a switch this rack does not have."""
    why = authority(safety.kept, command, moment)
    if command.token > safety.kept.highest_token:  # even of an order that leads to nothing
        safety = _keep(safety, replace(safety.kept, highest_token=command.token))
    kept = safety.kept
    if command.id in kept.results:
        return safety, (Answer(kept.results[command.id]),)
    if any(r.command.id == command.id for r in kept.running.values()):
        return safety, ()  # its result is on its way
    if limits is None:
        why = why or f"this rack has no transfer switch '{command.ats}' with an [[ats]] entry"
    elif command.ats in kept.running:
        why = why or f"busy with command {kept.running[command.ats].command.id}"
    elif command.ats in kept.trials:
        why = why or f"being commissioned by {kept.trials[command.ats].witness}"
    elif command.id.startswith(commission.PREFIX):
        why = why or "only a technician at the rack commissions a switch"
    if why or limits is None:
        return _settle(safety, command, Outcome.REFUSED, why, moment)
    return _begin(safety, command, moment, limits)


def prove(safety: Safety, ats: str, witness: str, moment: Moment, limits: Limits | None) -> Step:
    """A technician at the rack starts the commissioning of a switch."""
    readings = safety.recent.get(ats, ())
    if limits is None:
        return safety, (Tell(ats, "failed: the rack file has no such [[ats]] entry"),)
    if ats in safety.kept.trials or ats in safety.kept.running:
        return safety, (Tell(ats, "failed: a command is under way at this switch"),)
    if not readings or readings[-1].doubt:
        why = readings[-1].doubt if readings else "not read yet"
        return safety, (Tell(ats, f"failed: {why}; try again"),)
    if why := commission.unfit(readings[-1], limits):
        return safety, (Tell(ats, f"failed: {why}"),)
    newest = readings[-1]
    trial = Trial(witness, moment.now, newest.identity, newest.preferred)
    return _next_leg(safety, ats, trial, moment, limits)


def read(safety: Safety, ats: str, reading: Reading, limits: Limits) -> Safety:
    """A new reading of a switch; one not newer than the last counts for nothing."""
    before = safety.recent.get(ats, ())
    if before and reading.at <= before[-1].at:
        return safety
    safety = replace(safety, recent={**safety.recent, ats: (*before, reading)[-CONFIRM_OF:]})
    if reading.doubt:
        return safety
    running = safety.kept.running.get(ats)
    if has_moved(before, reading) and (running is None or running.phase is Phase.WAITING):
        safety = _transferred(safety, ats, reading.at)
    kept, why = notice(safety.kept, ats, before, reading, limits)
    safety = _keep(safety, kept)
    return _lock_out(safety, ats, why) if why else safety


def wrote(safety: Safety, command: AtsCommand, moment: Moment, error: str, *, sent: bool) -> Step:
    """The write was answered.

    Args:
        safety: state before.
        command: the one of the ``Write``.
        moment: when.
        error: empty, or what went wrong.
        sent: False if it is certain that the device took nothing; else an error leaves that open.
    """
    running = safety.kept.running.get(command.ats)
    if running is None or running.command.id != command.id or not error:
        return safety, ()
    if not sent:
        return _settle(safety, command, Outcome.REFUSED, error, moment)
    return _run(safety, replace(running, error=error)), ()


def merge(newer: Kept, mine: Kept) -> Kept:
    """What holds for an agent that takes over: the newer state, and what only this one knows."""
    return replace(
        newer,
        highest_token=max(newer.highest_token, mine.highest_token),
        results=_bounded({**mine.results, **newer.results}),
    )


def bar(kept: Kept, switches: Iterable[str], why: str) -> Kept:
    """Lock all switches out: what was done to them is not known."""
    return replace(kept, lockouts={**kept.lockouts, **dict.fromkeys(switches, why)})


def resume(kept: Kept, moment: Moment) -> Step:
    """After a restart: what was not yet written never will be, what was is read back."""
    safety = Safety(kept)
    acts: list[Act] = []
    for running in kept.running.values():
        if running.phase is Phase.WAITING:
            why = "the agent restarted before acting"
            safety, more = _settle(safety, running.command, Outcome.REFUSED, why, moment)
            acts.extend(more)
    return safety, tuple(acts)


def release(safety: Safety, switches: Iterable[str]) -> Safety:
    """A technician at the rack checked these switches: as they stand now is right."""
    checked = set(switches)
    lockouts = {a: why for a, why in safety.kept.lockouts.items() if a not in checked}
    preferences = {a: p for a, p in safety.kept.preferences.items() if a not in checked}
    return _keep(safety, replace(safety.kept, lockouts=lockouts, preferences=preferences))


def advance(safety: Safety, ats: str, moment: Moment, limits: Limits | None) -> Step:
    """Carry the command under way at a switch as far as its readings and the time allow."""
    running = safety.kept.running.get(ats)
    if running is None:
        return safety, ()
    if limits is None:
        gone = "the rack file no longer has this switch"
        return _settle(safety, running.command, Outcome.UNKNOWN, gone, moment)
    if running.phase is Phase.WAITING:
        return _try(safety, running.command, moment, limits)
    return _observe(safety, running, moment, limits)


def _begin(safety: Safety, command: AtsCommand, moment: Moment, limits: Limits) -> Step:
    running = Running(command, Phase.WAITING, moment.now, moment.real_s)
    return advance(_run(safety, running), command.ats, moment, limits)


def _try(safety: Safety, command: AtsCommand, moment: Moment, limits: Limits) -> Step:
    kept, ats = safety.kept, command.ats
    holds = [text for switch, text in safety.holds.items() if switch == ats]
    why = authority(kept, command, moment)
    why = why or permission(kept, holds, command, moment.now, limits)
    readings = safety.recent.get(ats, ())
    verdict = evidence(readings, command, moment, limits)
    if isinstance(verdict, Proceed) and not limits.lab:
        why = why or commission.unknown(kept, ats, readings[-1])
    if isinstance(verdict, Proceed) and (other := _on_its_way(kept, command, limits)):
        verdict = Wait(other)
    if isinstance(verdict, Wait) and why.startswith("expired"):
        why = f"{verdict.why}, until the command expired"
    if why or isinstance(verdict, Refused):
        why = why or (verdict.why if isinstance(verdict, Refused) else "")
        return _settle(safety, command, Outcome.REFUSED, why, moment)
    if isinstance(verdict, Proceed):
        feed = limits.feed(command.to_source)
        running = Running(command, Phase.COMMANDED, moment.now, moment.real_s, feed=feed)
        return _run(_transferred(safety, ats, moment.now), running), (Write(command),)
    return safety, ()


def _on_its_way(kept: Kept, command: AtsCommand, limits: Limits) -> str:
    """Which other switch moves to the same feed: its load is not in that feed's readings yet."""
    feed = limits.feed(command.to_source)
    for ats, running in kept.running.items():
        if ats != command.ats and running.phase is not Phase.WAITING and running.feed == feed:
            return f"{ats} is moving to feed {feed}"
    return ""


def _observe(safety: Safety, running: Running, moment: Moment, limits: Limits) -> Step:
    readings = safety.recent.get(running.command.ats, ())
    seen = verify.observe(running, readings, moment, limits)
    if isinstance(seen, Running):
        return (safety if seen == running else _run(safety, seen)), ()
    outcome, why = seen
    return _settle(safety, running.command, outcome, why, moment, limits)


def _settle(
    safety: Safety,
    command: AtsCommand,
    outcome: Outcome,
    why: str,
    moment: Moment,
    limits: Limits | None = None,
) -> Step:
    result = CommandResult(command.id, command.ats, command.token, outcome, why, moment.now)
    kept = safety.kept
    on_trial = command.ats in kept.trials and command.ats in kept.running
    on_trial = on_trial and kept.running[command.ats].command.id == command.id
    running = {a: r for a, r in kept.running.items() if r.command.id != command.id}
    results = _bounded({**kept.results, command.id: result})
    safety = _keep(safety, replace(kept, running=running, results=results))
    if outcome is not Outcome.REFUSED:
        safety = _prefers(safety, command, outcome)
    if outcome in _BARRING:
        safety = _lock_out(safety, command.ats, f"command {command.id}: {why}")
    if on_trial:
        return _go_on(safety, command.ats, outcome, why, moment, limits)
    return safety, (Answer(result),)


def _prefers(safety: Safety, command: AtsCommand, outcome: Outcome) -> Safety:
    """What the preferred source is by our own doing; unknown is found out at the next reading."""
    preferences = {a: p for a, p in safety.kept.preferences.items() if a != command.ats}
    if outcome is not Outcome.UNKNOWN:
        preferences[command.ats] = command.to_source
    return _keep(safety, replace(safety.kept, preferences=preferences))


def _next_leg(safety: Safety, ats: str, trial: Trial, moment: Moment, limits: Limits) -> Step:
    safety = _keep(safety, replace(safety.kept, trials={**safety.kept.trials, ats: trial}))
    readings = safety.recent.get(ats, ())
    active = readings[-1].active if readings else ""
    command = commission.leg(trial, ats, active, safety.kept, moment)
    safety, acts = _begin(safety, command, moment, limits)
    text = f"leg {len(trial.legs) + 1} of 2: from {command.from_source} to {command.to_source}"
    return safety, (Tell(ats, text), *acts)


def _go_on(
    safety: Safety, ats: str, outcome: Outcome, why: str, moment: Moment, limits: Limits | None
) -> Step:
    """A leg of a commissioning was settled."""
    trials = dict(safety.kept.trials)
    trial = trials.pop(ats, None)
    if trial is None:
        return safety, ()
    trial = commission.after(trial, outcome, why)
    if limits is not None and len(trial.legs) == 1 and not trial.failed:
        return _next_leg(safety, ats, trial, moment, limits)
    safety = _keep(safety, replace(safety.kept, trials=trials))
    if limits is None or trial.failed:
        return safety, (Tell(ats, f"failed: {trial.failed or why}"),)
    proven = commission.proven(trial, limits, moment.now)
    commissions = {**safety.kept.commissions, ats: proven}
    safety = _keep(safety, replace(safety.kept, commissions=commissions))
    return safety, (Tell(ats, f"commissioned: {proven.identity}, witnessed by {proven.witness}"),)


def _bounded(results: Mapping[str, CommandResult]) -> dict[str, CommandResult]:
    """Forget the oldest; refusals cannot push out what was carried out."""
    refused = [i for i, r in results.items() if r.outcome is Outcome.REFUSED]
    done = [i for i, r in results.items() if r.outcome is not Outcome.REFUSED]
    keep = {*refused[-_RESULTS_KEPT:], *done[-_RESULTS_KEPT:]}
    return {i: r for i, r in results.items() if i in keep}


def _transferred(safety: Safety, ats: str, at: datetime) -> Safety:
    old = safety.kept.transfers.get(ats, ())
    recent = tuple(t for t in old if epoch_s(at) - epoch_s(t) < HOUR_S)
    transfers = {**safety.kept.transfers, ats: (*recent, at)}
    return _keep(safety, replace(safety.kept, transfers=transfers))


def _lock_out(safety: Safety, ats: str, why: str) -> Safety:
    return _keep(safety, replace(safety.kept, lockouts={**safety.kept.lockouts, ats: why}))


def _run(safety: Safety, running: Running) -> Safety:
    commands = {**safety.kept.running, running.command.ats: running}
    return _keep(safety, replace(safety.kept, running=commands))


def _keep(safety: Safety, kept: Kept) -> Safety:
    return replace(safety, kept=kept)
