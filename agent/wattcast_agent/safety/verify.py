"""Read-back: what a command really led to."""

from dataclasses import replace

from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import Moment, Phase, Running
from wattcast_core.commands import Outcome
from wattcast_core.units import epoch_s

Settled = tuple[Outcome, str]
_IDLE_SHARE, _IDLE_A = 0.1, 0.3  # what an input that carries nothing may still show


def observe(
    running: Running, reading: Reading | None, moment: Moment, limits: Limits
) -> Running | Settled:
    """Judge the newest reading: the command goes on (perhaps in its next phase) or is settled."""
    if running.phase is Phase.COMMANDED:
        return _commanded(running, reading, moment, limits)
    return _verifying(running, reading, moment, limits)


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
    running: Running, reading: Reading | None, moment: Moment, limits: Limits
) -> Running | Settled:
    due_s = epoch_s(running.since) + limits.return_s
    overdue = (
        epoch_s(moment.now) >= due_s
        and moment.real_s - running.since_real_s >= 2 * limits.deadline_real_s
    )
    if reading is not None and not reading.doubt and reading.at > running.since:
        if reading.active == running.command.from_source:
            return Outcome.MOVED_THEN_RETURNED, f"went back to {reading.active} by itself"
        if reading.active and epoch_s(reading.at) >= due_s:
            why = _disagreement(reading, running.command.to_source)
            return (Outcome.UNKNOWN, why) if why else (Outcome.TRANSFERRED, "")
    if overdue:
        return Outcome.UNKNOWN, "moved, but no trusted reading came after the return delay"
    return running


def _disagreement(reading: Reading, to_source: str) -> str:
    """Currents on both inputs must tell the same as the active source."""
    left_a = sum(s.current_a for name, s in reading.sources.items() if name != to_source)
    if left_a <= max(_IDLE_A, _IDLE_SHARE * reading.output_a):
        return ""
    return f"active source reads {to_source}, but {left_a:.1f} A flow on the other input"


def _with(running: Running, why: str) -> str:
    return f"{why} (the write failed: {running.error})" if running.error else why
