"""Register images of the room's devices: Raritan Xerus, Eastron SDM630, XY-MD02. Pure.

Addresses are 0-based as on the wire; floats are IEEE 754 single, high word first. The Xerus maps
follow a harvested point list of "Xerus Modbus Interface"; the SDM630 map is the one of
volkszaehler/mbmd sdm.go; the XY-MD02 map is confirmed by its published golden frame.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

Image = list[tuple[int, list[int]]]  # (address, words) blocks

ACTIVE_INLET, PREFERRED_INLET = 0x2001, 0x2002
_POWER_FACTOR = 0.97
_FREQUENCY_HZ = 50.0


@dataclass(frozen=True)
class Electric:
    """What a meter shows; NaN power stands for every quantity derived from it."""

    power_w: float
    voltage_v: float
    energy_wh: float

    @property
    def apparent_va(self) -> float:
        """Apparent power."""
        return self.power_w / _POWER_FACTOR

    @property
    def current_a(self) -> float:
        """Current, 0 without voltage."""
        return self.apparent_va / self.voltage_v if self.voltage_v > 0 else 0.0

    @property
    def frequency_hz(self) -> float:
        """Frequency, 0 without voltage."""
        return _FREQUENCY_HZ if self.voltage_v > 0 else 0.0


def floats(values: Sequence[float]) -> list[int]:
    """Words of consecutive floats."""
    packed = struct.pack(f">{len(values)}f", *values)
    return list(struct.unpack(f">{2 * len(values)}H", packed))


def xerus_inlet(meter: Electric) -> Image:
    """Rack PDU: counts at 0..4 (version, inlets, protectors, outlets, switches), and inlet 1."""
    return [
        (0x0000, [1, 1, 0, 0, 0]),
        (0x3008, floats([meter.voltage_v, meter.current_a])),
        (0x3012, floats([meter.power_w, meter.apparent_va, _POWER_FACTOR])),
        (0x3022, floats([meter.frequency_hz])),
    ]


def xerus_switch(active: int, preferred: int, angle_deg: float) -> Image:
    """Transfer switch 1; inlets are 1 or 2, active 0 = no source alive; status 0 = in phase."""
    return [
        (0x0000, [1, 2, 0, 0, 1]),
        (ACTIVE_INLET, [active, preferred]),
        (0x2008, [*floats([angle_deg]), 0]),
    ]


def sdm630(meter: Electric) -> Image:
    """A meter wired on line 1 only; totals equal line 1."""
    nan = math.isnan(meter.power_w)
    volt = math.nan if nan else meter.voltage_v
    line = [volt, 0.0, 0.0, meter.current_a, 0.0, 0.0, meter.power_w, 0.0, 0.0]
    totals = [meter.power_w, 0.0, meter.apparent_va, 0.0, 0.0, _POWER_FACTOR, 0.0, 0.0, 0.0]
    return [
        (0x00, floats(line)),
        (0x34, floats([*totals, meter.frequency_hz, meter.energy_wh / 1000.0, 0.0])),
    ]


def xy_md02(temperature_c: float, humidity_pct: float) -> Image:
    """Temperature (two's complement) and humidity in tenths."""
    return [(0x0001, [round(10 * temperature_c) & 0xFFFF, round(10 * humidity_pct)])]
