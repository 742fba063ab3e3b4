"""Which nodes would exceed their limits, when they would trip, and what would go dark then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from wattcast_coordinator.ports import Violation
from wattcast_coordinator.risk.cascade import Outcome, Situation, follow
from wattcast_coordinator.risk.judgement import Judgement, Over
from wattcast_coordinator.risk.protect import protections
from wattcast_coordinator.risk.trip import trip_time_s
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_FOLLOWED = 64  # contingencies followed in one cycle, worst first


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a loss leads to if nothing is done.

    Attributes:
        trip_s: data seconds until the first trip; infinite if nothing trips within the horizon.
        trips: what trips, in order.
        dark: servers without supply at the end, of the loss itself and of what trips.
        unproven: servers left with fewer cords whose supplies or cords, by their ratings, may not
            carry them; they count as load all the same.
    """

    contingency: str
    trip_s: float
    trips: tuple[str, ...]
    dark: tuple[str, ...]
    unproven: tuple[str, ...] = ()


def violations(judged: Judgement, instance: Instance, now: datetime) -> list[Violation]:
    """Every contingency and node whose quantile load exceeds the limit, soonest first.

    The probability is that of the worst step, ``P(load > limit)`` of a normal curve with the sum's
    mean and deviation. Step h stands for the time ``now + (h + 1) * step_s``.
    """
    graph = judged.room.graph
    found = []
    for over in judged.over():
        first = int((over.load > over.limit * (1 + 1e-9)).argmax())
        watts = _watts(judged, over)
        found.append(
            Violation(
                node=graph.nodes[over.node],
                contingency=over.contingency,
                at=now + timedelta(seconds=(first + 1) * instance.step_s),
                load_w=float(over.load.max()) * watts,
                limit_w=over.limit * watts,
                probability=over.p_over,
                line=over.line,
                load_a=float(over.load.max()) if over.line else 0.0,
                limit_a=over.limit if over.line else 0.0,
            )
        )
    return sorted(found, key=lambda v: (v.at, v.contingency, graph.node[v.node], v.line))


def _watts(judged: Judgement, over: Over) -> float:
    """Watts a unit of the load: an ampere of a line is a third of what three lines carry."""
    electrical = judged.room.graph.site.electrical
    volts = electrical.voltage_v * electrical.lowest * electrical.power_factor
    return volts if over.line else 1.0


def trip_times_s(judged: Judgement, instance: Instance) -> dict[tuple[str, str], float]:
    """(node, contingency) -> data seconds until a protected node trips, where it would."""
    graph = judged.room.graph
    devices = {p.node: p for p in protections(graph)}
    base_w = judged.single.base.quantile_w(instance.z_n1)
    out = {}
    for over in judged.over():
        device = devices.get(over.node)
        if device is None or over.line:
            continue
        preload = base_w[over.node, 0] / device.rating_w
        times_s = device.curve.time_s(over.load / device.rating_w, preload)
        due_s = float(trip_time_s(times_s[None], instance.step_s)[0])
        if due_s < np.inf:
            out[graph.nodes[over.node], over.contingency] = due_s
    return out


def consequences(
    judged: Judgement, instance: Instance, wanted: Sequence[str]
) -> dict[str, Consequence]:
    """What each of the contingencies leads to, followed until nothing trips any more.

    Args:
        judged: the room.
        instance: of its loads.
        wanted: ids of contingencies, most urgent first; empty for the room as it is. Only the
            first 64 are followed.
    """
    room = judged.room
    known = {c.name: c.nodes(room.graph) for c in reversed(room.contingencies)}
    known[""] = np.zeros(0, np.int64)
    chosen = [name for name in dict.fromkeys(wanted) if name in known][:_FOLLOWED]
    situation = Situation(
        room.matrices.network,
        room.matrices.out,
        room.doubtful,
        judged.servers,
        instance.z_n1,
        instance.step_s,
        protections(room.graph),
    )
    ends = follow(situation, [known[name] for name in chosen])
    return {name: _told(judged, name, end) for name, end in zip(chosen, ends, strict=True)}


def _told(judged: Judgement, contingency: str, end: Outcome) -> Consequence:
    graph = judged.room.graph
    return Consequence(
        contingency,
        end.trips[0].at_s if end.trips else np.inf,
        tuple(f"{graph.nodes[t.node]} {t.state}" for t in end.trips),
        tuple(graph.servers[int(s)] for s in end.dark),
        tuple(graph.servers[int(s)] for s in _unproven(judged, contingency)),
    )


def _unproven(judged: Judgement, contingency: str) -> IntArray:
    """Servers that lose a cord, and draw more than the ratings of what is left bear."""
    room, site = judged.room, judged.room.graph.site
    case = room.case(contingency)
    cord = room.matrices.network.cord
    live = (cord >= 0) & room.matrices.feeding.live[cord, case]
    before = (cord >= 0) & room.matrices.feeding.live[cord, 0]
    volts = site.electrical.voltage_v * site.electrical.lowest
    factors = [s.power_factor or site.electrical.power_factor for s in site.server]
    each_w = np.array(
        [
            min(s.psu_w or np.inf, (s.cord_a * volts * factor) or np.inf)
            for s, factor in zip(site.server, factors, strict=True)
        ]
    )
    drawn_w = judged.servers.quantile_w(judged.single.limits.z_n1).max(1)
    left = live.sum(1)
    fewer = (left < before.sum(1)) & (left >= room.matrices.network.needed)
    return np.flatnonzero(fewer & (drawn_w > np.maximum(left, 1) * each_w))


def excess_w(loads_w: FloatArray, limits_w: FloatArray) -> float:
    """Sum over cases and nodes of the worst step's watts above the limit.

    Args:
        loads_w: [1+K, N, H] quantile loads.
        limits_w: [1+K, N].
    """
    return float(np.maximum((loads_w - limits_w[..., None]).max(2), 0).sum())
