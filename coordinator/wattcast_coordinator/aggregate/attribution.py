"""Watts of each workload on a shared server; together they are what its cords measure.

1. Power up to the server's idle power goes to the workloads by their reserved size: who reserves
   half of a server keeps half of it from being switched off, used or not.
2. What is above goes to who causes it: a part a resource, and of each part everyone's share in the
   use of that resource. The parts are the component peaks of Fan, Weber and Barroso, "Power
   provisioning for a warehouse-sized computer" (ISCA 2007), table 1: CPU 80 W, memory 36 W, disk
   12 W; a resource whose use is not known of every workload is left out, its part goes to the
   others. Without any, size decides.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.ports import Usage
from wattcast_core.units import FloatArray

PARTS = {"cpu": 80.0, "memory": 36.0, "io": 12.0}


@dataclass(frozen=True, slots=True)
class Attributed:
    """Watts of one workload; ``idle_w`` is the part of ``power_w`` that it has by its size."""

    power_w: float
    idle_w: float


def attribute(
    power_w: float, idle_w: float, sizes: Mapping[str, float], usages: Mapping[str, Usage]
) -> dict[str, Attributed]:
    """Split the measured power of a server; nothing where it is not known.

    Args:
        power_w: sum of the cords.
        idle_w: power without workload.
        sizes: workload -> what it reserves, as its nominal CPU; everyone on the server.
        usages: workload -> what it uses; may lack some.
    """
    if not sizes or not math.isfinite(power_w):
        return {}
    names = list(sizes)
    by_size = shares(np.array([max(sizes[name], 0.0) for name in names]))
    idle = by_size * min(idle_w, power_w)
    used = idle + use_shares(by_size, [usages.get(n, Usage()) for n in names]) * (
        power_w - min(idle_w, power_w)
    )
    return {
        name: Attributed(float(used[place]), float(idle[place])) for place, name in enumerate(names)
    }


def use_shares(by_size: FloatArray, usages: Sequence[Usage]) -> FloatArray:
    """[W] share of each workload in the server's power above idle.

    Args:
        by_size: [W] what holds where no use is known.
        usages: [W] what each uses.
    """
    out, parts = np.zeros(len(usages)), 0.0
    for resource, part in PARTS.items():
        use = np.array([getattr(usage, resource) for usage in usages])
        if np.isfinite(use).all() and (use >= 0).all() and use.sum() > 0:
            out += part * use / use.sum()
            parts += part
    return out / parts if parts else by_size


def shares(sizes: FloatArray) -> FloatArray:
    """[W] parts of the whole; equal ones where nobody has a size."""
    total = sizes.sum()
    return np.asarray(sizes / total if total > 0 else np.full(len(sizes), 1 / len(sizes)))
