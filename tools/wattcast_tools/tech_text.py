"""Readings and probes as text and JSON for a technician."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from wattcast_agent.devices.probe import Candidate
from wattcast_configs.profile import Profile
from wattcast_core.points import unit_of, words_of
from wattcast_core.samples import Sample

_TRUTHS = {"no": False, "yes": True}
_Row = tuple[str, ...]


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print aligned columns; the first row is the head."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def points(samples: Sequence[Sample]) -> dict[str, Any]:
    """Name -> value, unit, quality and time of each reading."""
    return {
        s.quantity: {
            "value": _value(s),
            "unit": unit_of(s.quantity),
            "quality": s.quality.value,
            "time": s.at.isoformat(timespec="milliseconds"),
        }
        for s in samples
    }


def reading_rows(samples: Sequence[Sample]) -> list[_Row]:
    """A table of readings; the first row is the head."""
    rows = [(s.quantity, value_text(s), unit_of(s.quantity), s.quality.value) for s in samples]
    return [("point", "value", "unit", "quality"), *rows]


def candidate_rows(candidates: Sequence[Candidate]) -> list[_Row]:
    """A table of the profiles tried; the first row is the head."""
    rows = [(c.profile, "fits" if c.fits else f"no: {c.why}") for c in candidates]
    return [("profile", "the device"), *rows]


def candidates_json(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The profiles tried."""
    return [{"profile": c.profile, "fits": c.fits, "why": c.why} for c in candidates]


def about(profile: Profile, at: datetime | None) -> str:
    """What a family is, and when it was read."""
    when = f", {at.isoformat(timespec='seconds')}" if at else ""
    return f"{profile.name}: {profile.vendor} {profile.kind}, certainty {profile.certainty}{when}"


def offers(profile: Profile) -> str:
    """What can be commanded, and what each command asks for."""
    if not profile.command:
        return "commands: none"
    lab = " (lab only)" if profile.lab_only else ""
    told = "; ".join(
        f"{c.name} {' or '.join(c.values) or 'A or B'}{lab}, if "
        + ", ".join(f"{n.format(argument='TARGET')} is {w}" for n, w in c.requires.items())
        for c in profile.command
    )
    return f"commands: {told}"


def value_text(sample: Sample) -> str:
    """The value as people read it; ``-`` where nothing good was read."""
    words = words_of(sample.quantity)
    if not math.isfinite(sample.value):
        return "-"
    return words[int(sample.value)] if words else f"{sample.value:.10g}"


def _value(sample: Sample) -> float | bool | str | None:
    """A number, true or false, or a word; None where nothing good was read."""
    if not math.isfinite(sample.value):
        return None
    words = words_of(sample.quantity)
    if not words:
        return float(f"{sample.value:.10g}")  # what a scale adds in the last bits is no reading
    word = words[int(sample.value)]
    return _TRUTHS.get(word, word)
