"""What a new reading shows that nobody ordered: a switch that moved, or was told to, by others."""

from collections.abc import Sequence
from dataclasses import replace

from wattcast_agent.safety import commission
from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.reading import Reading
from wattcast_agent.safety.state import Kept, Phase


def notice(
    kept: Kept, ats: str, before: Sequence[Reading], reading: Reading, limits: Limits
) -> tuple[Kept, str]:
    """Compare a trusted reading with the ones before.

    Returns:
        What is kept then, and why the switch must be locked out; empty if it need not be. While a
        command of ours is under way, ``verify`` judges instead.
    """
    running = kept.running.get(ats)
    if running is not None and running.phase is not Phase.WAITING:
        return kept, ""
    why = commission.changed(kept, ats, reading)
    if why:
        commissions = {a: c for a, c in kept.commissions.items() if a != ats}
        kept, why = replace(kept, commissions=commissions), f"commissioning is void: {why}"
    if ats not in kept.preferences:
        kept = replace(kept, preferences={**kept.preferences, ats: reading.preferred})
    else:
        why = why or _told_otherwise(kept.preferences[ats], before, reading)
    return kept, moved(before, reading, limits) or why


def _told_otherwise(wanted: str, before: Sequence[Reading], reading: Reading) -> str:
    """Why somebody else commands the switch, too: two readings in a row show it."""
    last = next((r for r in reversed(before) if not r.doubt), None)
    if last is None or wanted in (reading.preferred, last.preferred):
        return ""
    names = f"from {wanted or 'none'} to {reading.preferred or 'none'}"
    return f"its preferred source was changed {names} by somebody else"


def has_moved(before: Sequence[Reading], reading: Reading) -> bool:
    """Whether the active source is another than last known."""
    last = _last(before)
    return last is not None and reading.active not in ("", last.active)


def moved(before: Sequence[Reading], reading: Reading, limits: Limits) -> str:
    """Why a move is not what a switch is there for; empty if it did not move, or rightly did."""
    last = _last(before)
    if last is None or not has_moved(before, reading) or reading.active == reading.preferred:
        return ""
    left = [r.sources[last.active] for r in (*before, reading) if not r.doubt]
    if not all(limits.alive(s.voltage_v, s.frequency_hz) for s in left):
        return ""  # its source was lost
    return f"moved by itself from {last.active} to {reading.active}; check the switch"


def _last(before: Sequence[Reading]) -> Reading | None:
    return next((r for r in reversed(before) if not r.doubt and r.active), None)
