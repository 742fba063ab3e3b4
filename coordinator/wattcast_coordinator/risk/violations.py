"""Which nodes would exceed their limits, in the intact room and after the loss of each feed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import NormalDist

import numpy as np

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.ports import Violation
from wattcast_coordinator.risk.trip import UPS, time_to_trip_s
from wattcast_coordinator.topology.graph import FEED, Graph
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray

_NORMAL = NormalDist()


def violations(graph: Graph, instance: Instance, loads: Loads, now: datetime) -> list[Violation]:
    """Every case and node whose load at the chosen quantile exceeds the limit, soonest first.

    The probability is that of the worst step, ``P(load > limit)`` of a normal curve with the sum's
    mean and deviation. Step h stands for the time ``now + (h + 1) * step_s``.
    """
    mean_w, sigma_w = loads.moments()
    quantile_w = loads.evaluate()
    limit_w = loads.limits()
    over = quantile_w > limit_w[..., None] + 1e-3
    found = []
    for case, node in np.argwhere(over.any(2)):
        first = int(over[case, node].argmax())
        found.append(
            Violation(
                node=graph.nodes[node],
                contingency=_lost(graph, instance, int(case)),
                at=now + timedelta(seconds=(first + 1) * instance.step_s),
                load_w=float(quantile_w[case, node].max()),
                limit_w=float(limit_w[case, node]),
                probability=_worst(mean_w[case, node], sigma_w[case, node], limit_w[case, node]),
            )
        )
    return sorted(found, key=lambda v: (v.at, v.contingency, graph.node[v.node]))


def trip_times_s(
    graph: Graph, instance: Instance, loads: Loads, found: Sequence[Violation]
) -> dict[tuple[str, str], float]:
    """(node, contingency) -> data seconds until a feed's UPS trips, where it would.

    The emergency limit stands for the rating (it is not above it): the safe side.
    """
    quantile_w = loads.evaluate()
    cases = {"": 0} | {graph.nodes[int(n)]: 1 + i for i, n in enumerate(instance.contingency)}
    out = {}
    for v in found:
        node = graph.node[v.node]
        series_w = quantile_w[cases[v.contingency], node]
        rating_w = float(instance.limit_n1_w[node])
        due_s = time_to_trip_s(series_w, rating_w, UPS, instance.step_s)
        if graph.kind[node] == FEED and due_s < float("inf"):
            out[v.node, v.contingency] = due_s
    return out


def excess_w(loads_w: FloatArray, limits_w: FloatArray) -> float:
    """Sum over cases and nodes of the worst step's watts above the limit.

    Args:
        loads_w: [1+K, N, H] quantile loads.
        limits_w: [1+K, N].
    """
    return float(np.maximum((loads_w - limits_w[..., None]).max(2), 0).sum())


def _lost(graph: Graph, instance: Instance, case: int) -> str:
    return graph.nodes[int(instance.contingency[case - 1])] if case else ""


def _worst(mean_w: FloatArray, sigma_w: FloatArray, limit_w: float) -> float:
    scores = (mean_w - limit_w) / np.maximum(sigma_w, 1e-6)
    return _NORMAL.cdf(float(np.clip(scores.max(), -30, 30)))
