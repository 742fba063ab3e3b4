"""Registers or named objects and a profile give values with a quality. Pure."""

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from wattcast_configs.place import Place
from wattcast_configs.profile import Point, Profile
from wattcast_core.modbus.registers import decode_number, width
from wattcast_core.points import words_of
from wattcast_core.samples import Quality

Raw = int | float | str
Words = Mapping[tuple[int, int], int]  # (function, address) -> register
Objects = Mapping[str, Raw]  # OID, variable, path, ... -> value; what the device lacks is not there

_ORDER = (Quality.GOOD, Quality.STALE, Quality.INVALID, Quality.MISSING)
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d+)?(e[-+]?\d+)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """A decoded value; NaN unless good or stale."""

    value: float
    quality: Quality


_MISSING = Reading(math.nan, Quality.MISSING)
_INVALID = Reading(math.nan, Quality.INVALID)


def decode(profile: Profile, answer: Words | Objects) -> dict[str, Reading]:
    """Every quantity of the profile: missing where the device gave nothing, invalid where it lies.

    Args:
        profile: without repeats (see ``plan.spread``).
        answer: registers if the profile's protocol is Modbus, else objects.
    """
    readings = {
        p.quantity: _INVALID if _void(p, answer) else _judge(p, raw_of(profile, p, answer))
        for p in profile.point
    }
    for name, parts in profile.highest.items():
        readings[name] = _highest([readings[part] for part in parts])
    return readings


def raw_of(profile: Profile, place: Place, answer: Words | Objects) -> Raw | None:
    """What stands at a place; None if the device gave nothing there."""
    if place.key:
        return cast("Objects", answer).get(place.key)
    words = cast("Words", answer)
    function = place.function or profile.transport.function
    addresses = range(place.address, place.address + width(place.type))
    found = [words.get((function, address)) for address in addresses]
    whole = tuple(word for word in found if word is not None)
    if len(whole) < len(found):
        return None
    if place.type.startswith("str"):
        return _text(whole)
    return decode_number(whole, place.type, place.word_order or profile.transport.word_order)


def worst(qualities: Iterable[Quality]) -> Quality:
    """The worst quality of several; missing is worst, nothing at all is missing."""
    return max(qualities, key=_ORDER.index, default=Quality.MISSING)


def _text(words: tuple[int, ...]) -> str:
    """One or two characters a register: some makers leave the high byte empty."""
    data = struct.pack(f">{len(words)}H", *words).replace(b"\0", b"")
    return data.decode("utf-8", "replace").strip()


def _void(point: Point, answer: Words | Objects) -> bool:
    """Whether the device says that the value means nothing."""
    if not point.state_from:
        return False
    return cast("Objects", answer).get(point.state_from) in point.state_invalid


def _judge(point: Point, raw: Raw | None) -> Reading:
    if raw is None:
        return _MISSING
    if words_of(point.quantity):
        return _state(point, raw)
    number = _number(raw)
    if number in point.invalid or not math.isfinite(number):
        return _INVALID
    value = number * point.scale + point.offset
    return Reading(value, Quality.GOOD) if point.minimum <= value <= point.maximum else _INVALID


def _state(point: Point, raw: Raw) -> Reading:
    """A raw value that the profile gives no word is invalid."""
    words = words_of(point.quantity)
    if point.has:
        word: str | None = "yes" if point.has in str(raw).split() else "no"
    else:
        number = _number(raw)
        plain = f"{number:.0f}" if number.is_integer() else ""
        word = point.map.get(str(raw), point.map.get(plain))
    return _INVALID if word is None else Reading(words.index(word), Quality.GOOD)


def _number(raw: Raw) -> float:
    """A number, or text that is nothing but one; NaN for any other text."""
    if isinstance(raw, str):
        return float(raw) if _NUMBER.fullmatch(raw) else math.nan
    return float(raw)


def _highest(readings: list[Reading]) -> Reading:
    quality = worst(r.quality for r in readings)
    if quality in (Quality.GOOD, Quality.STALE):
        return Reading(max(r.value for r in readings), quality)
    return Reading(math.nan, quality)
