"""What goes into a rack PDU must come out of it: a check on meters and on the feed map."""

import math
from collections.abc import Mapping

from wattcast_agent.signature.layout import Layout
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality

_SHARE = 0.05  # of the inlet: two class-1 meters, their quantisation and the PDU's own losses
_FLOOR_W = 30.0


def imbalance(layout: Layout, devices: Mapping[str, DeviceState]) -> dict[str, str]:
    """Rack PDUs whose meters do not add up to their inlet in this poll, and by how much.

    A PDU with any reading in doubt is left out: a lost poll is not an imbalance.
    """
    found = {}
    for pdu, meters in layout.inlets.items():
        inlet_w = _power_w(devices.get(pdu))
        cords_w = sum(_power_w(devices.get(meter)) for meter in meters)
        if abs(cords_w - inlet_w) > max(_SHARE * abs(inlet_w), _FLOOR_W):
            found[pdu] = (
                f"cords sum to {cords_w:.0f} W but the inlet reads {inlet_w:.0f} W;"
                " check meters and feed map"
            )
    return found


def _power_w(state: DeviceState | None) -> float:
    if state is None or state.quality is not Quality.GOOD:
        return math.nan
    return points.power_w(state.readings)
