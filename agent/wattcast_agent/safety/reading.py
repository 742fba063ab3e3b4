"""One poll of a transfer switch and of the meters on its two inputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from wattcast_agent.safety.limits import SOURCES
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality

_NAMES = {0.0: "", 1.0: "A", 2.0: "B"}
_LOCAL = {
    "ats.remote_control": (False, "remote control is off at the switch"),
    "ats.on_bypass": (True, "the switch is bypassed"),
    "ats.fault": (True, "the switch reports a fault"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """An input of the switch; NaN where nothing trustworthy was read.

    Attributes:
        available: the switch's own word on it; None if it does not say.
        ups: why the UPS behind it cannot be relied on; empty if it can, or there is none.
    """

    voltage_v: float = math.nan
    frequency_hz: float = math.nan
    current_a: float = math.nan
    available: bool | None = None
    ups: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a switch stands.

    Attributes:
        at: data time of the oldest part, the UPSes aside: they change seldom and are read so.
        active: ``A``, ``B``, or empty for none.
        preferred: the setting, as ``active``.
        sources: state of each input.
        doubt: why the reading cannot be trusted; empty if it can.
        fault: what the switch itself complains of; empty if nothing.
        in_phase: the switch's own word on it; None if it does not say.
        local: why it takes no remote orders now (local, bypass); empty if it does, or is silent.
        identity: what it says of itself: maker, model, firmware.
    """

    at: datetime
    active: str
    preferred: str
    phase_deg: float
    sources: Mapping[str, Source]
    doubt: str = ""
    fault: str = ""
    in_phase: bool | None = None
    local: str = ""
    identity: str = ""

    @property
    def output_a(self) -> float:
        """Current of the loads: the sum of both inputs, one of which carries nothing."""
        return sum(s.current_a for s in self.sources.values())


def combine(
    ats: DeviceState,
    meters: Mapping[str, DeviceState],
    upses: Mapping[str, DeviceState | None] = MappingProxyType({}),
    identity: str = "",
) -> Reading:
    """Reading of a switch.

    Args:
        ats: state of the switch itself.
        meters: ``A`` and ``B`` -> state of the meter on that input.
        upses: ``A`` and ``B`` -> state of the UPS behind that input, None if it was not read;
            inputs without one are not there.
        identity: what the switch says of itself.
    """
    active = ats.readings.get(points.ACTIVE_SOURCE, math.nan)
    preferred = ats.readings.get(points.PREFERRED_SOURCE, math.nan)
    return Reading(
        at=min([ats.at, *(meter.at for meter in meters.values())]),
        active=_NAMES.get(active, ""),
        preferred=_NAMES.get(preferred, ""),
        phase_deg=ats.readings.get(points.PHASE_ANGLE_DEG, math.nan),
        sources={name: _source(name, ats, meters.get(name), upses) for name in SOURCES},
        doubt=_doubt(ats, meters, active, preferred),
        fault=ats.problem if ats.quality is Quality.GOOD else "",
        in_phase=_said(ats, "ats.phase_in_sync"),
        local="; ".join(text for name, (bars, text) in _LOCAL.items() if _said(ats, name) is bars),
        identity=identity,
    )


def _said(ats: DeviceState, name: str) -> bool | None:
    value = ats.readings.get(name, math.nan)
    return None if math.isnan(value) else value != 0


def _source(
    name: str,
    ats: DeviceState,
    meter: DeviceState | None,
    upses: Mapping[str, DeviceState | None],
) -> Source:
    available = _said(ats, f"ats.source.{name}.available")
    ups = _ups(upses[name]) if name in upses else ""
    if meter is None or meter.quality is not Quality.GOOD:
        return Source(available=available, ups=ups)
    voltage_v, frequency_hz, current_a = (
        points.supply(meter.readings, quantity)
        for quantity in ("voltage_v", "frequency_hz", "current_a")
    )
    return Source(voltage_v, frequency_hz, current_a, available, ups)


def _ups(ups: DeviceState | None) -> str:
    """Why a UPS does not carry its load by its inverter from the mains, or is not known to."""
    if ups is None or ups.quality is not Quality.GOOD:
        return "its UPS was not read"
    for name, text in (("ups.on_battery", "on battery"), ("ups.on_bypass", "on bypass")):
        told = _said(ups, name)
        if told is None:
            return f"UPS {ups.device} does not tell {name}"
        if told:
            return f"UPS {ups.device} is {text}"
    return f"UPS {ups.device}: {ups.problem}" if ups.problem else ""


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
        if not _plausible(_source(name, ats, meter, {})):
            return f"{meter.device} gives an implausible voltage, frequency or current"
    return ""


def _plausible(source: Source) -> bool:
    """A dead source has no frequency: that is no doubt, it is out of every window."""
    numbers = (source.voltage_v, source.current_a)
    return all(math.isfinite(n) and n >= 0 for n in numbers)
