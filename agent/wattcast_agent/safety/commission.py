"""Commissioning: a switch is written only after a witnessed transfer both ways at the rack.

A technician starts it; the agent then commands the switch away and back itself, through all other
interlocks, with the loads behind it. What was proven is kept with what the switch said of itself
and with the rack file's entry: a change of either voids it.
"""

from dataclasses import replace
from datetime import datetime

from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import Commission, Kept, Moment, Trial
from wattcast_core.commands import AtsCommand, Outcome
from wattcast_core.units import epoch_s

PREFIX = "commissioning/"
_LOAD_A = 0.5  # less behind the switch would prove nothing about the loads
_LEG_REAL_S = 60.0


def lacking(kept: Kept, ats: str, limits: Limits) -> str:
    """Why a switch is not, or no longer, commissioned; empty if it is, or is on trial."""
    if ats in kept.trials:
        return ""
    proven = kept.commissions.get(ats)
    if proven is None:
        return "not commissioned: no witnessed transfer both ways"
    if proven.terms != limits.fingerprint:
        return f"commissioning of {proven.at:%Y-%m-%d} is void: its entry or profile changed since"
    return ""


def changed(kept: Kept, ats: str, reading: Reading) -> str:
    """Why what stands there now is not what was commissioned; empty if it is, or is silent."""
    proven = kept.commissions.get(ats)
    if proven is None or reading.identity in ("", proven.identity):
        return ""
    return f"it says '{reading.identity}', commissioned was '{proven.identity}'"


def unknown(kept: Kept, ats: str, reading: Reading) -> str:
    """Why it is not sure that this is the switch that was commissioned, or is on trial."""
    known = kept.trials.get(ats) or kept.commissions.get(ats)
    if known is None or known.identity == reading.identity:
        return ""
    return f"it says '{reading.identity}', not '{known.identity}'"


def unfit(reading: Reading, limits: Limits) -> str:
    """Why a trial may not begin with this reading; empty if it may."""
    if not any(_says(reading.identity, words) for words in limits.tested):
        known = ", ".join(limits.tested) or "empty"
        return f"'{reading.identity}' is not on the tested list of the rack file ({known})"
    if not reading.output_a >= _LOAD_A:
        return f"only {reading.output_a:.1f} A behind the switch; connect the loads first"
    return ""


def _says(identity: str, words: str) -> bool:
    return bool(words.split()) and all(word in identity for word in words.split())


def leg(trial: Trial, ats: str, active: str, kept: Kept, moment: Moment) -> AtsCommand:
    """The next command of a trial: away from where the switch stands."""
    number = len(trial.legs) + 1
    return AtsCommand(
        f"{PREFIX}{ats}/{epoch_s(trial.since):.0f}/{number}",
        max(kept.highest_token, 1),
        moment.real_s + _LEG_REAL_S,
        ats,
        active,
        "A" if active == "B" else "B",
    )


def after(trial: Trial, outcome: Outcome, why: str) -> Trial:
    """The trial after a leg."""
    if outcome is not Outcome.TRANSFERRED:
        return replace(trial, failed=f"leg {len(trial.legs) + 1}: {outcome}: {why}")
    return replace(trial, legs=(*trial.legs, why))


def proven(trial: Trial, limits: Limits, now: datetime) -> Commission:
    """What a trial of two legs proved."""
    return Commission(trial.identity, limits.fingerprint, trial.baseline, trial.witness, now)
