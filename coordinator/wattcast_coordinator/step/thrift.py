"""A move that only saves money: in a room without any risk, one at a time, seldom."""

from dataclasses import replace

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.economy.placement import Saving, worthwhile
from wattcast_coordinator.ports import Effect, Move, Plan
from wattcast_coordinator.risk.judgement import judge_room
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.planning import PLAN_MARGIN, adopt, hush, lasts_s
from wattcast_coordinator.step.state import State
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray, epoch_s

HOUR_S = 3600.0  # between two looks: prices change by the hour
_QUIET = "money"


def save_money(state: State, context: Context) -> tuple[State, list[Effect]]:
    """Adopt, or advise, the move that saves most; nothing where anything is doubtful or tight."""
    decision, now = context.decision, context.now
    known = context.inputs.hourly_per_kwh
    if decision.money_moves == "off" or not known or state.quiet.get(_QUIET, now) > now:
        return state, []
    instance = _margin_kept(context.problem.instance)
    if not _calm(state, decision) or _tense(context, instance):
        return state, []
    state = hush(state, _QUIET, now, HOUR_S)
    hourly, entry = _hourly(context), _entry(context)
    found = worthwhile(instance, hourly, HOUR_S, decision.disruption_money, entry)
    if found is None or _risky(found, context):
        return state, []
    advise = "money_moves is 'advise'" if decision.money_moves == "advise" else ""
    return adopt(state, _plan(found, context), context, against=advise)


def _calm(state: State, decision: Decision) -> bool:
    """Whether the last cycles all saw no risk and no feed that might be dark."""
    quiet = len(state.seen) >= decision.confirm_of and not any(state.seen)
    return quiet and not any(mark.startswith("-") for c in state.power_seen for mark in c)


def _margin_kept(instance: Instance) -> Instance:
    return replace(
        instance,
        limit_base_w=instance.limit_base_w * (1 - PLAN_MARGIN),
        limit_n1_w=instance.limit_n1_w * (1 - PLAN_MARGIN),
    )


def _tense(context: Context, instance: Instance) -> bool:
    """Whether a load is unknown, a feed lost or frozen, or any node near its limit."""
    problem = context.problem
    if problem.stale or problem.frozen or context.judged.lost or context.judged.over():
        return True
    loads = Loads(instance)
    return bool((loads.evaluate() > loads.limits()[..., None]).any())


def _risky(found: Saving, context: Context) -> bool:
    """Whether the room after the move has any risk, judged exactly (amperes, capacity steps)."""
    instance = context.problem.instance
    placed = instance.wl_server.copy()
    placed[found.workload] = found.server
    return bool(judge_room(context.graph, instance, context.judged.lost, placed).over())


def _hourly(context: Context) -> FloatArray:
    """[N, hours] money a kWh at the feeds; those without a meter keep the site file's price."""
    graph, known = context.graph, context.inputs.hourly_per_kwh
    hours = max(map(len, known.values()))
    out = np.repeat(context.problem.instance.price_per_kwh[:, None], hours, axis=1)
    for feed, costs in known.items():
        if feed in graph.node and len(costs) == hours and np.isfinite(costs).all():
            out[graph.node[feed]] = np.maximum(costs, 0.0)
    return out


def _entry(context: Context) -> FloatArray:
    """[N] money a kW that a workload placed anew adds to demand charges."""
    graph, known = context.graph, context.inputs.entry_per_kw
    out = np.zeros(len(graph.nodes))
    for feed, money in known.items():
        if feed in graph.node and np.isfinite(money):
            out[graph.node[feed]] = max(money, 0.0)
    return out


def _plan(found: Saving, context: Context) -> Plan:
    graph, problem = context.graph, context.problem
    name = problem.workloads[found.workload]
    source = graph.servers[int(problem.instance.wl_server[found.workload])]
    target = graph.servers[found.server]
    why = (
        f"{name} runs cheaper on {target}: {found.saved:.2f} saved in the hours whose prices are"
        f" known, for a disruption worth {found.disruption:.2f}; every limit is kept"
    )
    return Plan(
        id=f"plan-{int(epoch_s(context.now))}",
        made_at=context.now,
        moves=(Move(name, source, target, 0.0, why),),
        transfers=(),
        makespan_s=lasts_s(problem.instance, found.workload),
        lead_s=0.0,
        cures=(),
        why=(why,),
    )
