"""The forecast of each feed as people see it: a fan of quantiles, and the worst single loss."""

from datetime import datetime
from statistics import NormalDist

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.api.view import Fan, WorstLoss
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.risk.judgement import Judgement, judge_room
from wattcast_coordinator.step import State
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.forecast import QUANTILES

_Z = [NormalDist().inv_cdf(q) for q in QUANTILES]


def fans(
    state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> dict[str, tuple[Fan, WorstLoss | None]]:
    """Feed -> its fan and the contingency that brings it closest to its emergency limit."""
    evidence = build(graph, inputs, decision, standing(state, inputs, graph, decision)).evidence
    judged = judge_room(graph, evidence, frozenset(state.lost))
    return {
        feed: (_fan(judged, graph.node[feed], inputs.now, decision.step_s), _worst(judged, feed))
        for feed in graph.feeds
    }


def _fan(judged: Judgement, node: int, now: datetime, step_s: float) -> Fan:
    loads = judged.single.base[np.array([node])]
    q10, q50, q90, q99 = (tuple(loads.quantile_w(z)[0].tolist()) for z in _Z)
    return Fan(issued_at=now, step_s=step_s, q10=q10, q50=q50, q90=q90, q99=q99)


def _worst(judged: Judgement, feed: str) -> WorstLoss | None:
    """Also of a feed that is secure: how surely it is."""
    single, node = judged.single, judged.room.graph.node[feed]
    here = np.flatnonzero(single.matrices.node == node)
    if judged.lost or not len(here):
        return None
    limit_w = np.full(len(here), single.limits.n1_w[node])
    load_w = single.rows[here].quantile_w(single.limits.z_n1).max(1)
    worst = int(np.argmax(load_w))
    contingency = judged.room.contingencies[int(single.matrices.case[here[worst]]) - 1]
    return WorstLoss(
        contingency=contingency.name,
        load_w=float(load_w[worst]),
        margin_w=float(limit_w[worst] - load_w[worst]),
        p_over=float(single.rows[here].p_over(limit_w)[worst].max()),
    )
