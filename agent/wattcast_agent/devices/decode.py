"""Registers or SNMP objects and a profile give values with a quality. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from wattcast_configs.profile import Point, Profile
from wattcast_core.modbus.registers import decode_number, width
from wattcast_core.points import words_of
from wattcast_core.samples import Quality

Words = Mapping[tuple[int, int], int]  # (function, address) -> register
Objects = Mapping[str, int | str]  # OID -> number or text; what the device lacks is not there

_ORDER = (Quality.GOOD, Quality.STALE, Quality.INVALID, Quality.MISSING)


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
        profile: an SNMP profile must be without repeats (see ``snmp_plan.resolve``).
        answer: objects if the profile's protocol is SNMP, else registers.
    """
    if profile.protocol == "snmp":
        objects = cast("Objects", answer)
        return {p.quantity: _decode_object(p, objects.get(p.oid)) for p in profile.point}
    words = cast("Words", answer)
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
    return _judge(point, decode_number(tuple(raw_words), point.type, order))


def _decode_object(point: Point, raw: int | str | None) -> Reading:
    if raw is None:
        return _MISSING
    return _INVALID if isinstance(raw, str) else _judge(point, raw)


def _judge(point: Point, raw: float) -> Reading:
    if raw in point.invalid or not math.isfinite(raw):
        return _INVALID
    if point.map:
        word = point.map.get(str(raw))
        number = words_of(point.quantity).index(word) if word is not None else math.nan
        return _INVALID if word is None else Reading(number, Quality.GOOD)
    value = raw * point.scale + point.offset
    return Reading(value, Quality.GOOD) if point.minimum <= value <= point.maximum else _INVALID
