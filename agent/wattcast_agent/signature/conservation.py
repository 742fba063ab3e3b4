"""What goes into a rack PDU must come out of it: a check on meters and on the feed map."""

import math
from collections.abc import Iterator, Mapping

from wattcast_agent.signature.layout import Layout
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality

_SHARE = 0.05  # of the inlet: two class-1 meters, their quantisation and the PDU's own losses
_FLOOR_W = 30.0


def imbalance(layout: Layout, devices: Mapping[str, DeviceState]) -> dict[str, str]:
    """Rack PDUs whose parts do not add up to their inlet in this poll, and by how much.

    Parts are the cord meters behind it, its own outlets, and its lines. A PDU with any reading in
    doubt is left out: a lost poll is not an imbalance.
    """
    found = {}
    for pdu in {*layout.inlets, *(d.device for d in devices.values() if d.kind == "pdu")}:
        inlet_w = _power_w(devices.get(pdu))
        told = [
            f"{what} sum to {sum_w:.0f} W but the inlet reads {inlet_w:.0f} W"
            for what, sum_w in _sums(layout, devices, pdu)
            if abs(sum_w - inlet_w) > max(_SHARE * abs(inlet_w), _FLOOR_W)
        ]
        if told:
            found[pdu] = f"{'; '.join(told)}; check meters and feed map"
    return found


def _sums(
    layout: Layout, devices: Mapping[str, DeviceState], pdu: str
) -> Iterator[tuple[str, float]]:
    """What is to add up to the inlet; NaN where a part is in doubt."""
    if pdu in layout.inlets:
        yield "cords", sum(_power_w(devices.get(meter)) for meter in layout.inlets[pdu])
    state = devices.get(pdu)
    readings = state.readings if state is not None else {}
    outlets = _numbered(readings, "outlet.")
    if outlets and set(outlets) == set(range(1, max(outlets) + 1)):  # all of them were read
        yield "outlets", sum(outlets.values())
    lines = _numbered(readings, "inlet.1.L")
    if len(lines) > 1:
        yield "lines", sum(lines.values())


def _numbered(readings: Mapping[str, float], prefix: str) -> dict[int, float]:
    """Power of numbered parts of one kind: ``outlet.7.power_w``, ``inlet.1.L2.power_w``."""
    parts = (
        (name.removeprefix(prefix).removesuffix(".power_w"), value)
        for name, value in readings.items()
        if name.startswith(prefix) and name.endswith(".power_w")
    )
    return {int(number): value for number, value in parts if number.isdecimal()}


def _power_w(state: DeviceState | None) -> float:
    if state is None or state.quality is not Quality.GOOD:
        return math.nan
    return points.power_w(state.readings)
