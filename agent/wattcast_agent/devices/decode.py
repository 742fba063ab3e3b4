"""Registers and a profile give values with a quality. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wattcast_configs.profile import Point, Profile
from wattcast_core.modbus.registers import decode_number, width
from wattcast_core.samples import Quality

Words = Mapping[tuple[int, int], int]  # (function, address) -> register

_ORDER = (Quality.GOOD, Quality.STALE, Quality.INVALID, Quality.MISSING)


@dataclass(frozen=True, slots=True)
class Reading:
    """A decoded value; NaN unless good or stale."""

    value: float
    quality: Quality


_MISSING = Reading(math.nan, Quality.MISSING)
_INVALID = Reading(math.nan, Quality.INVALID)


def decode(profile: Profile, words: Words) -> dict[str, Reading]:
    """Every quantity of the profile: missing where a register is, invalid where it lies."""
    default = profile.transport.word_order
    return {
        point.quantity: _decode_point(
            point, profile.function_of(point), point.word_order or default, words
        )
        for point in profile.point
    }


def worst(qualities: Iterable[Quality]) -> Quality:
    """The worst quality of several; missing is worst, nothing at all is missing."""
    return max(qualities, key=_ORDER.index, default=Quality.MISSING)


def _decode_point(point: Point, function: int, order: str, words: Words) -> Reading:
    raw_words = []
    for address in range(point.address, point.address + width(point.type)):
        word = words.get((function, address))
        if word is None:
            return _MISSING
        raw_words.append(word)
    raw = decode_number(tuple(raw_words), point.type, order)
    if raw in point.invalid or not math.isfinite(raw):
        return _INVALID
    value = point.map.get(str(raw), math.nan) if point.map else raw * point.scale
    # NaN compares false, so an unmapped state is invalid too.
    return Reading(value, Quality.GOOD) if point.minimum <= value <= point.maximum else _INVALID
