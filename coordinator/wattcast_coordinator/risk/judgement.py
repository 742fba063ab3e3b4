"""The room judged exactly: watts and amperes, as it is and after every contingency.

What the planner sees is the same room with fewer things in it (two cords, limits in watts); plans
are checked here before anything is done.
"""

from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.risk.amperes import Amperes, amperes, is_rated
from wattcast_coordinator.risk.nminus import Limits, Moments, SingleLosses, assess
from wattcast_coordinator.topology.compiled import Compiled, compile_room
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

LINES = ("L1", "L2", "L3", "N")


@dataclass(frozen=True, slots=True)
class Over:
    """Something over its limit.

    Attributes:
        node: what; ``line``: L1, L2, L3, N, or empty if it is watts that are over.
        contingency: after which loss; empty in the room as it is.
        load: [H] quantile load, watts or amperes; ``limit`` likewise.
        p_over: probability of the worst step, where known (watts), else 1.
    """

    node: int
    line: str
    contingency: str
    load: FloatArray
    limit: float
    p_over: float

    def excess(self, steps: int) -> float:
        """Share of the limit by which the worst of the first steps exceeds it."""
        return float(self.load[:steps].max()) / self.limit - 1 if self.limit > 0 else np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Loads of a room in all cases."""

    room: Compiled
    servers: Moments
    single: SingleLosses
    amps: Amperes | None
    lost: frozenset[str]

    def over(self) -> list[Over]:
        """Everything over a limit, in a fixed order; losses that others stand for left out."""
        found = [*self._intact(), *self._losses(), *self._steps()]
        return [*found, *(self._amperes(self.amps) if self.amps else ())]

    def _intact(self) -> list[Over]:
        limits = self.single.limits
        return self._found(self.single.base, limits.base_w, limits.z_base, "")

    def _found(self, loads: Moments, limit_w: FloatArray, z: float, contingency: str) -> list[Over]:
        load_w = loads.quantile_w(z)
        over = np.flatnonzero(load_w.max(1) > limit_w * (1 + 1e-9) + 1e-3)
        p_over = loads[over].p_over(limit_w[over]).max(1, initial=0.0)
        return [
            Over(int(n), "", contingency, load_w[n], float(limit_w[n]), float(p))
            for n, p in zip(over, p_over, strict=True)
        ]

    def _losses(self) -> list[Over]:
        if self.lost:  # emergency limits are meant for one loss, and one stands already
            return []
        single, matrices = self.single, self.single.matrices
        limit_w = single.limits.n1_w[matrices.node]
        load_w = single.rows.quantile_w(single.limits.z_n1)
        over = np.flatnonzero(load_w.max(1) > limit_w * (1 + 1e-9) + 1e-3)
        p_over = single.rows[over].p_over(limit_w[over]).max(1, initial=0.0)
        names = self.room.contingencies
        return [
            Over(
                int(matrices.node[row]),
                "",
                names[int(matrices.case[row]) - 1].name,
                load_w[row],
                float(limit_w[row]),
                float(p),
            )
            for row, p in zip(over, p_over, strict=True)
        ]

    def _steps(self) -> list[Over]:
        """Capacity steps: the load stays, the rating shrinks."""
        out: list[Over] = []
        limits = self.single.limits
        for step in self.room.contingencies if not self.lost else ():
            if step.step:
                node = self.room.graph.node[step.step]
                left_w = np.full_like(limits.n1_w, np.inf)
                left_w[node] = limits.n1_w[node] * step.left
                out += self._found(self.single.base, left_w, limits.z_n1, step.name)
        return out

    def _amperes(self, amps: Amperes) -> list[Over]:
        out = []
        for place in np.flatnonzero(amps.over()).tolist():
            case = int(amps.case[place])
            if case and self.lost:
                continue
            name = self.room.contingencies[case - 1].name if case else ""
            loads = np.vstack([amps.line_a[place], amps.neutral_a[place][None]])
            limits_a = [float(amps.limit_a[place])] * 3 + [float(amps.neutral_limit_a[place])]
            worst = int(np.argmax(loads.max(1) / limits_a))
            node = int(amps.node[place])
            out.append(Over(node, LINES[worst], name, loads[worst], limits_a[worst], 1.0))
        return out


def judge_room(
    graph: Graph,
    instance: Instance,
    lost: frozenset[str],
    wl_server: IntArray | None = None,
    ats_source: IntArray | None = None,
) -> Judgement:
    """Judge a room with its workloads placed and its switches set in some way.

    Args:
        graph: of the site.
        instance: loads and limits.
        lost: nodes without voltage.
        wl_server: [W] placement; the present one if None.
        ats_source: [N] positions; the present ones if None.
    """
    placed = instance.wl_server if wl_server is None else wl_server
    source = instance.ats_source if ats_source is None else ats_source
    loads = server_loads(instance, placed)
    servers = Moments(np.hstack([loads.mean_w, loads.factor_w]), loads.variance, instance.growth)
    room = compile_room(graph, lost, source, loads.mean_w[:, 0])
    limits = Limits(instance.limit_base_w, instance.limit_n1_w, instance.z_base, instance.z_n1)
    single = assess(room.matrices, room.doubtful, servers, limits, prune=True)
    z = (instance.z_base, instance.z_n1)
    amps = amperes(room, servers, z) if is_rated(graph) else None
    return Judgement(room, servers, single, amps, lost)


def balanced_limits(judged: Judgement, instance: Instance) -> Instance:
    """Lower limits in watts so that the lines, as loaded now, keep theirs in amperes.

    A node whose worst line is nearer to its limit than all its watts are to theirs gets so many
    fewer watts. Plans change the balance a little; they are judged in amperes again.
    """
    if judged.amps is None:
        return instance
    single, amps = judged.single, judged.amps
    used_a = amps.used()
    limits = single.limits
    share = np.ones((2, len(limits.base_w)))
    base_w = single.base.quantile_w(limits.z_base).max(1)
    after_w = single.base.quantile_w(limits.z_n1).max(1)
    matrices = single.matrices
    np.maximum.at(after_w, matrices.node, single.rows.quantile_w(limits.z_n1).max(1))
    for case in (0, 1):
        here = np.flatnonzero((amps.case > 0) == bool(case))
        worst = np.zeros(len(base_w))
        np.maximum.at(worst, amps.node[here], used_a[here])
        used_w = (after_w / limits.n1_w) if case else (base_w / limits.base_w)
        uneven = (worst > used_w) & (used_w > 0)
        share[case, uneven] = used_w[uneven] / worst[uneven]
    return replace(
        instance, limit_base_w=limits.base_w * share[0], limit_n1_w=limits.n1_w * share[1]
    )
