"""Answers of devices give samples and states, each with its quality. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from wattcast_agent.devices import node_metrics
from wattcast_agent.devices.decode import Objects, Reading, Words, decode, worst
from wattcast_configs.profile import Profile
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality, Sample

Parts = tuple[list[Sample], DeviceState]
_MOST = 8  # bad readings named in one problem text


@dataclass(frozen=True, slots=True)
class Answer:
    """What one device or server answered.

    Attributes:
        words: registers or objects of a device; empty if it failed.
        values: canonical quantities of a host; empty if it failed.
        problem: what went wrong, for an operator.
        garbled: it answered, but not sensibly.
    """

    words: Words | Objects = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    garbled: bool = False


def device(
    name: str, profile: Profile, answer: Answer, at: datetime, *, stuck: bool, idle: bool = True
) -> Parts:
    """Samples and state of a device.

    Good readings of a stuck device are stale. One without load may well stand still and stays
    good, unless ``idle`` is False: a transfer rests on the voltage of an input without load.
    """
    readings = decode(profile, answer.words)
    stuck = stuck and (not idle or _is_loaded(readings))
    if stuck:
        readings = {q: _stale(r) for q, r in readings.items()}
    quality = worst(readings[q].quality for q in profile.acts_on or readings)
    problem = answer.problem or _blame(readings, stuck=stuck) or _alarms(profile, readings)
    return _parts(name, profile.kind, at, readings, quality, problem)


def host(name: str, answer: Answer, at: datetime) -> Parts:
    """Samples and state of a server; a quantity that it lacks is missing, not left out."""
    lacking = Quality.INVALID if answer.garbled else Quality.MISSING
    readings = {q: Reading(math.nan, lacking) for q in node_metrics.QUANTITIES}
    readings |= {q: _checked(v) for q, v in answer.values.items()}
    quality = worst(r.quality for q, r in readings.items() if q in answer.values)
    problem = answer.problem or _blame({q: readings[q] for q in answer.values}, stuck=False)
    return _parts(name, "host", at, readings, quality, problem)


def _parts(
    name: str,
    kind: str,
    at: datetime,
    readings: Mapping[str, Reading],
    quality: Quality,
    problem: str,
) -> Parts:
    samples = [Sample(name, q, r.value, at, r.quality) for q, r in readings.items()]
    known = {q: r.value for q, r in readings.items() if math.isfinite(r.value)}
    return samples, DeviceState(name, kind, at, quality, known, problem)


def _is_loaded(readings: Mapping[str, Reading]) -> bool:
    good = {q: r.value for q, r in readings.items() if r.quality is Quality.GOOD}
    power_w = points.power_w(good)
    return math.isfinite(power_w) and power_w != 0


def _stale(reading: Reading) -> Reading:
    return Reading(reading.value, Quality.STALE) if reading.quality is Quality.GOOD else reading


def _checked(value: float) -> Reading:
    """Counters and gauges of a host are finite and never negative."""
    if math.isfinite(value) and value >= 0:
        return Reading(value, Quality.GOOD)
    return Reading(math.nan, Quality.INVALID)


def _blame(readings: Mapping[str, Reading], *, stuck: bool) -> str:
    if stuck:
        return "sends the same readings although it carries load: stuck?"
    bad = [f"{q} is {r.quality}" for q, r in readings.items() if r.quality is not Quality.GOOD]
    more = f" and {len(bad) - _MOST} more" if len(bad) > _MOST else ""
    return ", ".join(bad[:_MOST]) + more


def _alarms(profile: Profile, readings: Mapping[str, Reading]) -> str:
    """What the device itself says is wrong; what is not a good reading has been blamed before."""
    told = [p.alarm.get(_word(p.quantity, readings), "") for p in profile.point if p.alarm]
    return "; ".join(text for text in told if text)


def _word(quantity: str, readings: Mapping[str, Reading]) -> str:
    value = readings[quantity].value
    return points.words_of(quantity)[int(value)] if math.isfinite(value) else ""
