"""The forecast of each feed as people see it: a fan of quantiles, and the worst single loss."""

from statistics import NormalDist

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.api.view import Fan, WorstLoss
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.risk.judgement import Judgement, judge_room
from wattcast_coordinator.run.feeds import FeedForecasts
from wattcast_coordinator.step import State
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.forecast import QUANTILES
from wattcast_core.units import FloatArray

_CALIBRATED = "calibrated: its quantiles follow what this feed drew"
_SUMMED = "summed: too few servers were measured just now; not calibrated"
_Z = [NormalDist().inv_cdf(q) for q in QUANTILES]


def fans(
    state: State, inputs: Inputs, graph: Graph, decision: Decision, feeds: FeedForecasts
) -> dict[str, tuple[Fan, WorstLoss | None]]:
    """Feed -> its fan and the contingency that brings it closest to its emergency limit.

    The fan is the calibrated one of ``feeds``, which takes this step; where that knows nothing yet,
    the sum of the workloads' distributions that risk is judged on.
    """
    problem = build(graph, inputs, decision, standing(state, inputs, graph, decision))
    judged = judge_room(graph, problem.evidence, frozenset(state.lost))
    served, covered = feeds.update(problem, inputs)

    def fan(row: int, feed: str) -> Fan:
        if np.isfinite(served[row]).all():
            rows, shares, reason = served[row].T, covered[row, -1].tolist(), _CALIBRATED
        else:
            rows, shares, reason = _summed(judged, graph.node[feed]), [], _SUMMED
        q10, q50, q90, q99 = (tuple(of) for of in rows.tolist())
        return Fan(
            issued_at=inputs.now,
            step_s=decision.step_s,
            q10=q10,
            q50=q50,
            q90=q90,
            q99=q99,
            covered=tuple(shares),
            reason=reason,
        )

    return {feed: (fan(row, feed), _worst(judged, feed)) for row, feed in enumerate(graph.feeds)}


def _summed(judged: Judgement, node: int) -> FloatArray:
    """[4, H] watts."""
    loads = judged.single.base[np.array([node])]
    return np.stack([loads.quantile_w(z)[0] for z in _Z])


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
