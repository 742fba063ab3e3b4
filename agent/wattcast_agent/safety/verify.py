"""Read-back: what a command really led to."""

from collections.abc import Sequence
from dataclasses import replace

from wattcast_agent.safety.limits import CONFIRM, CONFIRM_OF, Limits
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import Moment, Phase, Running
from wattcast_core.commands import Outcome
from wattcast_core.units import epoch_s

Settled = tuple[Outcome, str]
_IDLE_SHARE, _IDLE_A = 0.1, 0.3  # what an input that carries nothing may still show


def observe(
    running: Running, readings: Sequence[Reading], moment: Moment, limits: Limits
) -> Running | Settled:
    """Judge the last readings: the command goes on (perhaps in its next phase) or is settled."""
    newest = readings[-1] if readings else None
    if running.phase is Phase.COMMANDED:
        return _commanded(running, newest, moment, limits)
    return _verifying(running, readings, moment, limits)


def _commanded(
    running: Running, reading: Reading | None, moment: Moment, limits: Limits
) -> Running | Settled:
    command = running.command
    fresh = reading is not None and not reading.doubt and reading.at > running.since
    if reading is not None and fresh:
        if reading.active == command.to_source:
            return replace(
                running,
                phase=Phase.VERIFYING,
                since=reading.at,
                since_real_s=moment.real_s,
                read=False,
            )
        running = replace(running, read=True)
    waited_real_s = moment.real_s - running.since_real_s
    readable = reading is not None and not reading.doubt
    if waited_real_s < limits.deadline_real_s * (1 if readable else 2):
        return running
    if reading is None or not running.read or reading.doubt:
        return Outcome.UNKNOWN, _with(running, "no trusted reading came after the write")
    if reading.preferred == command.to_source:
        still = f"active source is still {reading.active or 'none'}"
        return Outcome.PREFERENCE_SET_NOT_MOVED, _with(running, still)
    return Outcome.UNKNOWN, _with(running, f"preference still reads {reading.preferred or 'none'}")


def _verifying(
    running: Running, readings: Sequence[Reading], moment: Moment, limits: Limits
) -> Running | Settled:
    """It moved. For the device's return delay it must stay, and so must the currents."""
    since = [r for r in readings if r.at > running.since and not r.doubt]
    if any(r.active == running.command.from_source for r in since):
        return Outcome.MOVED_THEN_RETURNED, f"went back to {running.command.from_source} by itself"
    due_s = epoch_s(running.since) + limits.return_s
    if since and since[-1].active and epoch_s(since[-1].at) >= due_s:
        if against := contradiction(since[-1], running.command.to_source):
            return Outcome.UNKNOWN, against
        if sum(not contradiction(r, running.command.to_source) for r in since) >= CONFIRM:
            return Outcome.TRANSFERRED, ""
    patience_s = 2 * CONFIRM_OF * moment.poll_s
    waited_real_s = moment.real_s - running.since_real_s
    if epoch_s(moment.now) >= due_s + patience_s and waited_real_s >= 2 * limits.deadline_real_s:
        return Outcome.UNKNOWN, "moved, but too few trusted readings came after the return delay"
    return running


def contradiction(reading: Reading, active: str) -> str:
    """Why a reading does not show this source active, by its word and by both input currents."""
    if reading.active != active:
        return f"active source reads {reading.active or 'none'}"
    idle = {name: source for name, source in reading.sources.items() if name != active}
    left_a = sum(source.current_a for source in idle.values())
    if left_a <= max(_IDLE_A, _IDLE_SHARE * reading.output_a):
        return ""
    return f"active source reads {active}, but {left_a:.1f} A flow on the other input"


def _with(running: Running, why: str) -> str:
    return f"{why} (the write failed: {running.error})" if running.error else why
