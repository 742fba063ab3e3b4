"""How much more heat each rack may give off, by its cooling and the air at its servers' inlets."""

import numpy as np

from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.signature import FEATURES
from wattcast_core.units import FloatArray

# ASHRAE TC 9.9, Thermal Guidelines, 5th edition (2021), table 2.1, class A1.
_RECOMMENDED_C = 27.0
_ALLOWABLE_C = 32.0
_UNSEEN = 0.5  # of what is left may be used where no inlet is measured
_SOME = 1e-9
_INLET = FEATURES.index("inlet_temperature_c")


def allowance_w(graph: Graph, inputs: Inputs, mean_w: FloatArray) -> FloatArray:
    """[racks] heat that each rack may come to give off; infinite where nothing is known.

    That is what its servers draw at most anyway, and of what its cooling leaves all at a
    recommended inlet temperature, nothing at the highest allowable one, half if none is measured.

    Args:
        graph: the room.
        inputs: of this cycle, for the latest signatures.
        mean_w: [S, H] expected power of the servers.
    """
    count = len(graph.racks)
    heat_w = np.bincount(graph.rack, mean_w.max(1), count)
    inlet_c = np.full(count, np.nan)
    for rack, server in zip(graph.rack, graph.servers, strict=True):
        signature = inputs.signatures.get(server)
        if signature is not None:
            inlet_c[rack] = np.fmax(inlet_c[rack], signature.values[_INLET])
    part = np.clip((_ALLOWABLE_C - inlet_c) / (_ALLOWABLE_C - _RECOMMENDED_C), 0, 1)
    part[np.isnan(inlet_c)] = _UNSEEN
    left_w = np.maximum(graph.cooling_w - heat_w, 0)
    more_w = np.where(part > 0, left_w, 0) * np.maximum(part, _SOME)  # infinite stays infinite
    return np.asarray(heat_w + more_w)
