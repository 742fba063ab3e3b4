"""What to switch off where nothing else helps in time: lowest criticality first."""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.risk.violations import excess_w
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_ENOUGH_W = 1e-3


@dataclass(frozen=True, slots=True)
class ShedList:
    """Workloads to switch off, in order.

    Attributes:
        excess_before_w: watts over all limits now; excess_after_w: with the list off (idle power
            and loads without a name remain, so it need not be 0).
    """

    workloads: tuple[str, ...]
    excess_before_w: float
    excess_after_w: float


def shed_list(graph: Graph, problem: Problem, *, intact_only: bool = False) -> ShedList:
    """The shortest list, in order of criticality and then of watts, that ends the excess.

    Args:
        graph: the room.
        problem: with the doubt about carried loads.
        intact_only: heed the present room only, not what a loss would do.
    """
    instance = problem.instance
    if intact_only:
        instance = replace(instance, contingency=np.zeros(0, np.int64))
    loads = Loads(instance)
    excess: FloatArray = loads.evaluate() - loads.limits()[..., None]
    over = np.asarray(excess.max(2).max(0) > 0)
    before_w = excess_w(loads.evaluate(), loads.limits())
    order = _order(graph, problem, np.flatnonzero(over))
    if before_w <= _ENOUGH_W or not len(order):
        return ShedList((), before_w, before_w)
    low, high = 1, len(order)
    while low < high:  # the excess only falls with each further workload
        middle = (low + high) // 2
        if _left_w(instance, order[:middle]) <= _ENOUGH_W:
            high = middle
        else:
            low = middle + 1
    names = tuple(problem.workloads[i] for i in order[:low])
    return ShedList(names, before_w, _left_w(instance, order[:low]))


def _order(graph: Graph, problem: Problem, nodes: IntArray) -> IntArray:
    """Named workloads that can load any of the nodes, in the order of shedding."""
    instance = problem.instance
    touching = graph.behind(nodes)[instance.wl_server]
    named = np.array([bool(name) for name in problem.workloads])
    peak_w = instance.wl_w.max(1)
    candidates = np.flatnonzero(touching & named & (peak_w > 0))
    return candidates[np.lexsort((-peak_w[candidates], instance.wl_crit[candidates]))]


def _left_w(instance: Instance, shed: IntArray) -> float:
    on = np.ones(len(instance.wl_server))
    on[shed] = 0.0
    less = replace(
        instance,
        wl_w=instance.wl_w * on[:, None],
        wl_sigma_w=instance.wl_sigma_w * on,
        wl_factor_w=instance.wl_factor_w * on[:, None],
    )
    loads = Loads(less)
    return excess_w(loads.evaluate(), loads.limits())
