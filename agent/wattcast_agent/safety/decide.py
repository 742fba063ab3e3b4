"""May this command be carried out now? Every reason against it is a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wattcast_agent.safety import commission, verify
from wattcast_agent.safety.limits import CONFIRM, CONFIRM_OF, SOURCES, Limits
from wattcast_agent.safety.reading import Reading, Source
from wattcast_agent.safety.state import Kept, Moment
from wattcast_core.commands import AtsCommand
from wattcast_core.units import epoch_s

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Not done, and never will be."""

    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: the readings do not suffice."""

    why: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """Every interlock agrees."""


Verdict = Refused | Wait | Proceed


def authority(kept: Kept, command: AtsCommand, moment: Moment) -> str:
    """Why the sender may not order this (fencing, expiry, form); empty if it may."""
    if moment.clock:
        return f"the agent's clock is in doubt: {moment.clock}"
    if command.token < kept.highest_token or command.token <= 0:
        return f"fencing token {command.token} is lower than {kept.highest_token}, seen before"
    if not moment.real_s < command.expires_real_s:
        return f"expired {moment.real_s - command.expires_real_s:.1f} s ago"
    if {command.from_source, command.to_source} != set(SOURCES):
        return "from and to must be A and B"
    return ""


def permission(
    kept: Kept, holds: Sequence[str], command: AtsCommand, now: datetime, limits: Limits
) -> str:
    """Why this switch may not be commanded now, whatever its readings; empty if it may."""
    if holds:
        return f"technician's hold: {holds[0]}"
    if command.ats in kept.lockouts:
        return f"locked out: {kept.lockouts[command.ats]}"
    if not limits.hold_up_ms > limits.transfer_ms:
        return f"hold-up {limits.hold_up_ms:g} ms of the loads is not known to exceed the transfer"
    on_trial = command.ats in kept.trials
    why = "" if limits.lab else _untold(limits) or commission.lacking(kept, command.ats, limits)
    return why or ("" if on_trial else _churn(kept.transfers.get(command.ats, ()), now, limits))


def _untold(limits: Limits) -> str:
    """What the rack file must say before a switch is written."""
    for source in SOURCES:
        if not limits.ups(source):
            return f"the rack file does not say which UPS stands behind source {source}"
    if not limits.supplies:
        return "the rack file does not say what supplies the agent itself (agent.supplies)"
    if set(limits.supplies) == {limits.id}:
        return "the agent itself hangs on this switch alone"
    return ""


def _churn(transfers: Sequence[datetime], now: datetime, limits: Limits) -> str:
    ages_s = [epoch_s(now) - epoch_s(t) for t in transfers]
    if any(age < limits.dwell_s for age in ages_s):
        return f"dwell: last transfer {min(ages_s):.0f} s ago, least {limits.dwell_s:.0f} s"
    if sum(age < HOUR_S for age in ages_s) >= limits.max_per_hour:
        return f"cap of {limits.max_per_hour} transfers an hour reached"
    return ""


def evidence(
    readings: Sequence[Reading], command: AtsCommand, moment: Moment, limits: Limits
) -> Verdict:
    """Judge the last readings: the newest fresh and good, and k of n agreeing."""
    window_s = (CONFIRM_OF + 1) * moment.poll_s
    recent = [r for r in readings if 0 <= _age_s(r, moment) < window_s][-CONFIRM_OF:]
    if not recent or _age_s(recent[-1], moment) >= 2 * moment.poll_s:
        return Wait("no fresh reading")
    if recent[-1].doubt:
        return Wait(recent[-1].doubt)
    against = objection(recent[-1], command, limits)
    if against:
        return Refused(against)
    agreeing = sum(not (r.doubt or objection(r, command, limits)) for r in recent)
    if agreeing < CONFIRM:
        return Wait(f"{agreeing} of {CONFIRM} readings agree")
    return Proceed()


def objection(reading: Reading, command: AtsCommand, limits: Limits) -> str:
    """What in one trusted reading forbids the transfer; empty if nothing."""
    if reading.fault or reading.local:
        return f"fault: {reading.fault}" if reading.fault else reading.local
    if reading.active != command.from_source:
        return f"active source is {reading.active or 'none'}, expected {command.from_source}"
    return (
        _bad_target(reading.sources[command.to_source], command.to_source, limits)
        or _out_of_phase(reading, limits)
        or _too_much(reading, command, limits)
        or verify.contradiction(reading, command.from_source)
    )


def _bad_target(target: Source, name: str, limits: Limits) -> str:
    if target.available is False:
        return f"source {name} is not available, says the switch"
    if not limits.alive(target.voltage_v, target.frequency_hz):
        volts, hertz = target.voltage_v, target.frequency_hz
        return f"source {name} is out of its window ({volts:.0f} V, {hertz:.1f} Hz)"
    return f"source {name}: {target.ups}" if target.ups else ""


def _out_of_phase(reading: Reading, limits: Limits) -> str:
    """The angle where the switch gives one, else its own word that the sources are in phase."""
    if limits.phase_max_deg >= 180.0:
        return ""
    if reading.in_phase is False:
        return "the sources are not in phase, says the switch"
    if math.isnan(reading.phase_deg):
        return "" if reading.in_phase else "nothing tells whether the sources are in phase"
    if not abs(reading.phase_deg) <= limits.phase_max_deg:
        return f"phase angle {reading.phase_deg:.0f} deg, limit {limits.phase_max_deg:.0f}"
    return ""


def _too_much(reading: Reading, command: AtsCommand, limits: Limits) -> str:
    output_a = reading.output_a
    if not output_a <= limits.rating_a:
        return f"output carries {output_a:.1f} A, rating {limits.rating_a:.1f} A"
    if not limits.inrush_factor * output_a <= limits.opens_at_a:
        inrush_a = limits.inrush_factor * output_a
        return f"inrush of {inrush_a:.0f} A could open a breaker ({limits.opens_at_a:.0f} A)"
    if 0 < command.most_a < output_a:
        feed = limits.feed(command.to_source)
        return f"output carries {output_a:.1f} A, feed {feed} can take {command.most_a:.1f} A"
    return ""


def _age_s(reading: Reading, moment: Moment) -> float:
    return epoch_s(moment.now) - epoch_s(reading.at)
