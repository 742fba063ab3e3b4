"""Whether a device is of a profile's family, by what it shows. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from wattcast_agent.devices.decode import Raw
from wattcast_configs.profile import Check, Profile
from wattcast_core.errors import ForeignDevice, Refused

Seen = Mapping[Check, Raw | None]  # None: the device has nothing there


class Fit(IntEnum):
    """How far what a device shows fits."""

    CONTRADICTS = 0
    SAYS_NOTHING = 1
    FITS = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile that was looked for on a device.

    Attributes:
        profile: its name.
        fits: every check of the family does.
        why: what does not fit; empty if all does.
    """

    profile: str
    fits: bool
    why: str


def require(profile: Profile, seen: Seen, device: str, says: str) -> None:
    """Refuse a device that contradicts the profile.

    Args:
        profile: with the checks in ``seen``.
        seen: what the device shows.
        device: its address.
        says: what it says of itself; may be empty.

    Raises:
        ForeignDevice: names what was seen.
    """
    for check in profile.probe:
        if judge(check, seen[check]) is Fit.CONTRADICTS:
            raise ForeignDevice(
                f"{device} does not fit profile {profile.name}: {_shows(check, seen[check])}"
                f"{introduced(says)}; give another profile"
            )


def choose(
    profiles: Sequence[Profile], seen: Mapping[str, Seen], device: str, says: str
) -> Profile:
    """The one profile that fits: a family's own before a generic one.

    Args:
        profiles: those asked for.
        seen: name of a profile -> what its checks saw; the others did not look.
        device: its address.
        says: what it says of itself; may be empty.

    Raises:
        ForeignDevice: none fits; names what was seen.
        Refused: several fit.
    """
    fit = [p for p in profiles if p.probe and _fits(p, seen.get(p.name, {}))]
    fit = [p for p in fit if not p.generic] or fit
    if not fit:
        raise ForeignDevice(
            f"{device} is no device that a profile fits{introduced(says)}; give --profile, or"
            " write one (docs/devices.md)"
        )
    if len(fit) > 1:
        names = ", ".join(p.name for p in fit)
        raise Refused(f"{device} fits several profiles: {names}{introduced(says)}; give one")
    return fit[0]


def candidates(profiles: Sequence[Profile], seen: Mapping[str, Seen]) -> list[Candidate]:
    """How each profile fits, as ``choose`` takes it; those that fit first."""
    found = [_candidate(p, seen.get(p.name, {})) for p in profiles if p.probe]
    return sorted(found, key=lambda c: not c.fits)


def judge(check: Check, raw: Raw | None) -> Fit:
    """What one check says of the device."""
    if check.excludes:
        alien = raw is not None and any(_begins(str(raw), b) for b in check.excludes)
        return Fit.CONTRADICTS if alien else Fit.FITS
    if check.absent or raw is None:
        return Fit.FITS if check.absent == (raw is None) else Fit.CONTRADICTS
    if check.begins:
        return Fit.FITS if any(_begins(str(raw), b) for b in check.begins) else Fit.CONTRADICTS
    if check.is_range:
        return _within(check, raw)
    return Fit.FITS


def plain(text: str) -> str:
    """What a device says, fit for one line of a terminal or a log: nothing in it is obeyed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def introduced(says: str) -> str:
    """What a device says of itself, to end a message with."""
    return f"; it says it is {says}" if says else ""


def _fits(profile: Profile, seen: Seen) -> bool:
    return all(c in seen and judge(c, seen[c]) is Fit.FITS for c in profile.probe)


def _candidate(profile: Profile, seen: Seen) -> Candidate:
    for check in profile.probe:
        if check not in seen:
            return Candidate(profile.name, fits=False, why="no answer to what it is known by")
        if judge(check, seen[check]) is not Fit.FITS:
            return Candidate(profile.name, fits=False, why=_shows(check, seen[check]))
    return Candidate(profile.name, fits=True, why="")


def _within(check: Check, raw: Raw) -> Fit:
    if isinstance(raw, str):
        return Fit.CONTRADICTS
    if raw == 0 or not math.isfinite(raw):
        return Fit.SAYS_NOTHING  # a meter without voltage
    return Fit.FITS if check.minimum <= raw <= check.maximum else Fit.CONTRADICTS


def _begins(text: str, begin: str) -> bool:
    if re.fullmatch(r"[\d.]+", begin):  # an OID: it, or what is below it
        return f"{text}.".startswith(f"{begin.rstrip('.')}.")
    return text.startswith(begin)


def _shows(check: Check, raw: Raw | None) -> str:
    where = check.key or f"register {check.address:#06x}"
    shown = "nothing" if raw is None else f"'{plain(str(raw))}'"
    if check.absent or check.excludes:
        return f"{where} shows {shown}, which this family does not"
    if raw is None and not check.begins and not check.is_range:
        return f"{where} is not there"
    wanted = " or ".join(check.begins) or "a value"
    if check.is_range:
        wanted = f"{check.minimum:g}..{check.maximum:g}"
    return f"{where} shows {shown}, not {wanted}"
