"""One poll of a transfer switch and of the meters on its two inputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wattcast_agent.safety.limits import SOURCES
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality

_NAMES = {0.0: "", 1.0: "A", 2.0: "B"}


@dataclass(frozen=True, slots=True)
class Source:
    """An input of the switch; NaN where nothing trustworthy was read."""

    voltage_v: float = math.nan
    frequency_hz: float = math.nan
    current_a: float = math.nan


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a switch stands.

    Attributes:
        at: data time of the oldest part.
        active: ``A``, ``B``, or empty for none.
        preferred: the setting, as ``active``.
        sources: state of each input.
        doubt: why the reading cannot be trusted; empty if it can.
        fault: what the switch itself complains of; empty if nothing.
    """

    at: datetime
    active: str
    preferred: str
    phase_deg: float
    sources: Mapping[str, Source]
    doubt: str = ""
    fault: str = ""

    @property
    def output_a(self) -> float:
        """Current of the loads: the sum of both inputs, one of which carries nothing."""
        return sum(s.current_a for s in self.sources.values())


def combine(ats: DeviceState, meters: Mapping[str, DeviceState]) -> Reading:
    """Reading of a switch.

    Args:
        ats: state of the switch itself.
        meters: ``A`` and ``B`` -> state of the meter on that input.
    """
    active = ats.readings.get(points.ACTIVE_SOURCE, math.nan)
    preferred = ats.readings.get(points.PREFERRED_SOURCE, math.nan)
    sources = {name: _source(meters.get(name)) for name in SOURCES}
    return Reading(
        at=min([ats.at, *(m.at for m in meters.values())]),
        active=_NAMES.get(active, ""),
        preferred=_NAMES.get(preferred, ""),
        phase_deg=ats.readings.get(points.PHASE_ANGLE_DEG, math.nan),
        sources=sources,
        doubt=_doubt(ats, meters, active, preferred),
        fault=ats.problem if ats.quality is Quality.GOOD else "",
    )


def _source(meter: DeviceState | None) -> Source:
    if meter is None or meter.quality is not Quality.GOOD:
        return Source()
    read = meter.readings
    return Source(
        points.supply(read, "voltage_v"),
        points.supply(read, "frequency_hz"),
        points.supply(read, "current_a"),
    )


def _doubt(
    ats: DeviceState, meters: Mapping[str, DeviceState], active: float, preferred: float
) -> str:
    if ats.quality is not Quality.GOOD:
        return f"{ats.device} is {ats.quality}: {ats.problem or 'no trusted reading'}"
    if active not in _NAMES or preferred not in _NAMES:
        return f"{ats.device} gives no usable active or preferred source"
    for name in SOURCES:
        meter = meters.get(name)
        if meter is None or meter.quality is not Quality.GOOD:
            return f"input {name} of {ats.device} has no trusted meter reading"
        if not _plausible(_source(meter)):
            return f"{meter.device} gives an implausible voltage, frequency or current"
    return ""


def _plausible(source: Source) -> bool:
    """A dead source has no frequency: that is no doubt, it is out of every window."""
    numbers = (source.voltage_v, source.current_a)
    return all(math.isfinite(n) and n >= 0 for n in numbers)
