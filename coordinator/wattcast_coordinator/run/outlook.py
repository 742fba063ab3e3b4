"""The forecast of each feed as people see it: a fan of quantiles, and the worst single loss."""

from datetime import datetime
from statistics import NormalDist

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.api.view import Fan, WorstLoss
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.step import State
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.forecast import QUANTILES
from wattcast_core.units import FloatArray

_Z = [NormalDist().inv_cdf(q) for q in QUANTILES]


def fans(
    state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> dict[str, tuple[Fan, WorstLoss | None]]:
    """Feed -> its fan and the contingency that brings it closest to its emergency limit."""
    evidence = build(graph, inputs, decision, standing(state, inputs, graph, decision)).evidence
    loads = Loads(evidence)
    mean_w, sigma_w = loads.moments()
    after_loss_w = loads.evaluate()[1:].max(2)
    lost = [graph.nodes[int(n)] for n in evidence.contingency]
    return {
        feed: (
            _fan(inputs.now, decision.step_s, mean_w[0, i], sigma_w[0, i]),
            _worst(after_loss_w[:, i], lost),
        )
        for feed, i in ((feed, graph.node[feed]) for feed in graph.feeds)
    }


def _fan(now: datetime, step_s: float, mean_w: FloatArray, sigma_w: FloatArray) -> Fan:
    q10, q50, q90, q99 = (tuple((mean_w + z * sigma_w).tolist()) for z in _Z)
    return Fan(issued_at=now, step_s=step_s, q10=q10, q50=q50, q90=q90, q99=q99)


def _worst(load_w: FloatArray, lost: list[str]) -> WorstLoss | None:
    if not len(load_w):
        return None
    case = int(np.argmax(load_w))
    return WorstLoss(contingency=lost[case], load_w=float(load_w[case]))
