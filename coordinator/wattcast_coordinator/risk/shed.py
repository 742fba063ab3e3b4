"""What to switch off where nothing else helps in time: lowest criticality first.

A list is made beforehand for every contingency that would overload something, so that it is at
hand the moment the loss comes. All on a list are told to stop at once; the load is down when the
slowest of them has stopped, which must be before the first device trips.
"""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.risk.judgement import Judgement
from wattcast_coordinator.risk.nminus import Moments, assess
from wattcast_coordinator.topology.instance import Instance, IntArray

_ENOUGH_W = 1e-3


@dataclass(frozen=True, slots=True)
class ShedList:
    """Workloads to switch off, in order.

    Attributes:
        contingency: after which loss; empty in the room as it is.
        watts: what each draws at its peak (reference hardware).
        stop_s: until each one's load is gone.
        excess_before_w: watts over all limits then; excess_after_w: with the list off (idle power
            and loads without a name remain, so it need not be 0).
    """

    contingency: str
    workloads: tuple[str, ...]
    watts: tuple[float, ...]
    stop_s: tuple[float, ...]
    excess_before_w: float
    excess_after_w: float

    @property
    def lowered_s(self) -> float:
        """Until all their load is gone."""
        return max(self.stop_s, default=0.0)


def shed_list(judged: Judgement, problem: Problem, contingency: str = "") -> ShedList:
    """The shortest list, in order of criticality and then of watts, that ends the excess.

    Args:
        judged: the room.
        problem: with the doubt about carried loads.
        contingency: the loss; empty for the room as it is.
    """
    case = _Case(judged, problem.instance, contingency)
    before_w, over = case.excess_w(np.zeros(0, np.int64))
    order = _order(judged, problem, over)
    if before_w <= _ENOUGH_W or not len(order):
        return ShedList(contingency, (), (), (), before_w, before_w)
    low, high = 1, len(order)
    while low < high:  # the excess only falls with each further workload
        middle = (low + high) // 2
        if case.excess_w(order[:middle])[0] <= _ENOUGH_W:
            high = middle
        else:
            low = middle + 1
    chosen = order[:low]
    workloads = judged.room.graph.workload
    site = judged.room.graph.site.workload
    names = tuple(problem.workloads[i] for i in chosen)
    return ShedList(
        contingency,
        names,
        tuple(float(problem.instance.wl_w[i].max()) for i in chosen),
        tuple(site[workloads[name]].stop_s for name in names),
        before_w,
        case.excess_w(chosen)[0],
    )


class _Case:
    """One contingency, evaluated with some workloads off."""

    def __init__(self, judged: Judgement, instance: Instance, contingency: str) -> None:
        self._judged, self._instance = judged, instance
        room = judged.room
        self._number = room.case(contingency)
        self._matrices = room.matrices.of_case(self._number)
        limits = judged.single.limits
        self._limits = replace(limits, base_w=instance.limit_base_w, n1_w=instance.limit_n1_w)

    def excess_w(self, shed: IntArray) -> tuple[float, IntArray]:
        """Watts over the limits, and the nodes that are over."""
        on = np.ones(len(self._instance.wl_server))
        on[shed] = 0.0
        less = replace(
            self._instance,
            wl_w=self._instance.wl_w * on[:, None],
            wl_sigma_w=self._instance.wl_sigma_w * on,
            wl_factor_w=self._instance.wl_factor_w * on[:, None],
        )
        loads = server_loads(less, less.wl_server)
        servers = Moments(np.hstack([loads.mean_w, loads.factor_w]), loads.variance, less.growth)
        found = assess(self._matrices, self._judged.room.doubtful, servers, self._limits)
        limits, node = self._limits, self._matrices.adding.node
        if self._number:
            over_w = found.rows.quantile_w(limits.z_n1).max(1) - limits.n1_w[node]
        else:
            over_w = found.base.quantile_w(limits.z_base).max(1) - limits.base_w
            node = np.arange(len(over_w))
        return float(np.maximum(over_w, 0).sum()), node[over_w > 0]


def _order(judged: Judgement, problem: Problem, nodes: IntArray) -> IntArray:
    """Named workloads that can load any of the nodes, in the order of shedding."""
    instance = problem.instance
    touching = judged.room.graph.behind(nodes)[instance.wl_server]
    named = np.array([bool(name) for name in problem.workloads])
    peak_w = instance.wl_w.max(1)
    candidates = np.flatnonzero(touching & named & (peak_w > 0))
    return candidates[np.lexsort((-peak_w[candidates], instance.wl_crit[candidates]))]
