"""The interlocks as one state machine: orders, readings and write answers in, acts out.

idle -> waiting -> commanded -> verifying -> settled (a result, kept for good).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from wattcast_agent.safety import verify
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
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import Act, Answer, Kept, Moment, Phase, Running, Safety, Write
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.units import epoch_s

Step = tuple[Safety, tuple[Act, ...]]
_RESULTS_KEPT = (
    1000  # of each sort: at 4 transfers an hour that is ten days; tokens fence older ones
)


def order(safety: Safety, command: AtsCommand, moment: Moment, limits: Limits | None) -> Step:
    """A command arrived; ``limits`` is None for a switch this rack does not have."""
    why = authority(safety.kept, command, moment.real_s)
    if command.token > safety.kept.highest_token:  # even of an order that leads to nothing
        safety = _keep(safety, replace(safety.kept, highest_token=command.token))
    kept = safety.kept
    if command.id in kept.results:
        return safety, (Answer(kept.results[command.id]),)
    if any(r.command.id == command.id for r in kept.running.values()):
        return safety, ()  # its result is on its way
    if limits is None:
        why = why or f"this rack has no transfer switch '{command.ats}' with an [[ats]] entry"
    elif command.ats in safety.kept.running:
        why = why or f"busy with command {safety.kept.running[command.ats].command.id}"
    if why or limits is None:
        return _settle(safety, command, Outcome.REFUSED, why, moment)
    running = Running(command, Phase.WAITING, moment.now, moment.real_s)
    return advance(_run(safety, running), command.ats, moment, limits)


def read(safety: Safety, ats: str, reading: Reading, limits: Limits) -> Safety:
    """A new reading of a switch; one not newer than the last counts for nothing."""
    before = safety.recent.get(ats, ())
    if before and reading.at <= before[-1].at:
        return safety
    safety = replace(safety, recent={**safety.recent, ats: (*before, reading)[-CONFIRM_OF:]})
    return safety if reading.doubt else _notice(safety, ats, before, reading, limits)


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
    """A technician at the rack checked these switches."""
    lockouts = {a: why for a, why in safety.kept.lockouts.items() if a not in set(switches)}
    return _keep(safety, replace(safety.kept, lockouts=lockouts))


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


def _try(safety: Safety, command: AtsCommand, moment: Moment, limits: Limits) -> Step:
    kept, ats = safety.kept, command.ats
    holds = [text for switch, text in safety.holds.items() if switch == ats]
    why = authority(kept, command, moment.real_s)
    why = why or permission(kept, holds, command, moment.now, limits)
    verdict = evidence(safety.recent.get(ats, ()), command, moment, limits)
    if isinstance(verdict, Wait) and why.startswith("expired"):
        why = f"{verdict.why}, until the command expired"
    if why or isinstance(verdict, Refused):
        why = why or (verdict.why if isinstance(verdict, Refused) else "")
        return _settle(safety, command, Outcome.REFUSED, why, moment)
    if isinstance(verdict, Proceed):
        running = Running(command, Phase.COMMANDED, moment.now, moment.real_s)
        return _run(_transferred(safety, ats, moment.now), running), (Write(command),)
    return safety, ()


def _observe(safety: Safety, running: Running, moment: Moment, limits: Limits) -> Step:
    readings = safety.recent.get(running.command.ats, ())
    seen = verify.observe(running, readings[-1] if readings else None, moment, limits)
    if isinstance(seen, Running):
        return (safety if seen == running else _run(safety, seen)), ()
    outcome, why = seen
    if outcome in (Outcome.MOVED_THEN_RETURNED, Outcome.UNKNOWN):
        safety = _lock_out(safety, running.command.ats, f"command {running.command.id}: {why}")
    return _settle(safety, running.command, outcome, why, moment)


def _notice(
    safety: Safety, ats: str, before: tuple[Reading, ...], reading: Reading, limits: Limits
) -> Safety:
    """Lock out after a transfer nobody ordered and no lost source or preference explains."""
    last = next((r for r in reversed(before) if not r.doubt and r.active), None)
    if last is None or not reading.active or reading.active == last.active:
        return safety
    running = safety.kept.running.get(ats)
    if running is not None and running.phase is not Phase.WAITING:
        return safety  # ours: verify judges it
    safety = _transferred(safety, ats, reading.at)
    left = [r.sources[last.active] for r in (*before, reading) if not r.doubt]
    lost = not all(limits.alive(s.voltage_v, s.frequency_hz) for s in left)
    if lost or reading.active == reading.preferred:
        return safety
    return _lock_out(
        safety, ats, f"moved by itself from {last.active} to {reading.active}; check the switch"
    )


def _settle(
    safety: Safety, command: AtsCommand, outcome: Outcome, why: str, moment: Moment
) -> Step:
    result = CommandResult(command.id, command.ats, command.token, outcome, why, moment.now)
    kept = safety.kept
    running = {a: r for a, r in kept.running.items() if r.command.id != command.id}
    results = _bounded({**kept.results, command.id: result})
    return _keep(safety, replace(kept, running=running, results=results)), (Answer(result),)


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
