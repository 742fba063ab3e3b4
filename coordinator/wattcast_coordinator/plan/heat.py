"""Heat of racks: what their servers draw on average; bursts are absorbed by air and metal."""

import numpy as np

from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray


def rack_heat_w(instance: Instance, mean_w: FloatArray) -> FloatArray:
    """[racks, H] heat of the racks whose cooling is known, from the servers' means [S, H]."""
    heat_w = np.zeros((len(instance.rack_cooling_w), len(instance.growth)))
    if len(heat_w):
        np.add.at(heat_w, instance.server_rack, mean_w)
    return heat_w
