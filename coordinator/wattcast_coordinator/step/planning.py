"""From a confirmed risk to a plan, an advice, or an honest refusal with a shed list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.aggregate.two_cords import two_cords
from wattcast_coordinator.plan import Explanation, Solution, explain, solve
from wattcast_coordinator.ports import (
    AdoptPlan,
    Effect,
    Move,
    OfferShedList,
    Plan,
    RaiseEvent,
    Severity,
    Transfer,
    Violation,
)
from wattcast_coordinator.risk.judgement import Judgement, judge_room
from wattcast_coordinator.risk.shed import ShedList, shed_list
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.progress import intent
from wattcast_coordinator.step.state import Action, State
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import epoch_s

PLAN_MARGIN = 0.02  # plans aim so far below the limits that acted upon risks do not flicker back
LEAST_GAIN = 0.1  # of the excess: less relief is not worth disturbing anyone
RETRY_STEPS = 3.0  # cycles of rest after a refusal: the room seldom changes faster
_WORSE = 1e-4  # share of a limit: rounding, not harm
_PARTS = (1.0, 0.75, 0.5, 0.25)  # of the horizon, tried in this order
SEARCH_ROUNDS, LAST_ROUNDS = 60, 20  # of the search: the second attempt is a last resort
PATIENCE = 24  # rounds without a cheaper plan: of so small a room each takes a millisecond


class _Patience:
    """A deadline in rounds of search: like time, but the same on every machine and replay."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A solution, the problem that it solves, and why that is not the whole horizon's.

    Attributes:
        margin: share of the limits that the problem leaves free.
    """

    solution: Solution
    instance: Instance
    short: str = ""
    margin: float = 0.0

    @property
    def steps(self) -> int:
        """Of the horizon for which the solution was sought."""
        return len(self.instance.growth)


def respond(
    state: State, risks: Sequence[Violation], context: Context
) -> tuple[State, list[Effect]]:
    """Plan against all present risks, confirmed ones among them; adopt, advise or refuse."""
    found = _search(risks, context)
    solution = found.solution
    gain = solution.excess_before_w - solution.excess_after_w
    worth = solution.feasible or gain >= LEAST_GAIN * solution.excess_before_w > 0
    effects: list[Effect] = []
    against = () if solution.feasible else solution.why or ("no plan fits in time",)
    if worth and (solution.moves or solution.ats):
        worse = _worsened(found, context)
        if worse:
            against, worth = (f"the plan found fails the exact check: {worse}",), False
    if worth and (solution.moves or solution.ats):
        plan = _plan(found, risks, context)
        state, effects = adopt(state, plan, context)
        against = (*against, *_too_late(plan, risks))
    if against:
        state, more = _refuse(state, against, risks, context)
        effects += more
    return state, effects


def _too_late(plan: Plan, risks: Sequence[Violation]) -> tuple[str, ...]:
    """A line if an overload of the room as it is comes before the plan is done."""
    due_s = min((epoch_s(v.at) for v in risks if not v.contingency), default=float("inf"))
    late_s = epoch_s(plan.made_at) + plan.makespan_s - due_s
    return (f"the plan is done {late_s:.0f} s after the overload comes",) if late_s > 0 else ()


def _search(risks: Sequence[Violation], context: Context) -> _Found:
    """A plan for the whole horizon with a margin; without it; else for the longest part of it.

    What can be made safe for half an hour is made safe, although the hour cannot be: forecasts of
    the far end are the least certain, and the next cycles look again.
    """
    instance = context.problem.instance
    steps = instance.wl_w.shape[1]
    lead_s, soonest_s = _times(risks, context)
    tight = two_cords(_tightened(instance, PLAN_MARGIN, lead_s))
    whole = _Found(
        solve(tight, deadline=_Patience(SEARCH_ROUNDS), patience=PATIENCE),
        tight,
        margin=PLAN_MARGIN,
    )
    if whole.solution.feasible:
        return whole
    for part in _PARTS:
        cut = _cut(instance, max(int(steps * part), 2))
        last_s = (cut.wl_w.shape[1] - 1) * cut.step_s
        relaxed = two_cords(_tightened(cut, 0.0, min(max(lead_s, soonest_s), last_s)))
        solution = solve(relaxed, deadline=_Patience(LAST_ROUNDS))
        if part == 1.0:
            whole = _Found(solution, relaxed)
        if solution.feasible and (part == 1.0 or solution.moves or solution.ats):
            why = whole.solution.why[0] if whole.solution.why else ""
            return _Found(solution, relaxed, why if part < 1.0 else "")
    return whole


def _times(risks: Sequence[Violation], context: Context) -> tuple[float, float]:
    """Until when all should be cured, and how soon the whole churn budget could be spent (data)."""
    instance = context.problem.instance
    horizon_s = instance.wl_w.shape[1] * instance.step_s
    soonest_s = min(_shortest_s(instance, context.decision), horizon_s - instance.step_s)
    base_s = _lead_s([v for v in risks if not v.contingency], context.now, instance, horizon_s)
    # What only a further loss would overload may be cured as soon as can be.
    n1 = [v for v in risks if v.contingency]
    lead_s = min(base_s, max(_lead_s(n1, context.now, instance, horizon_s), soonest_s))
    return lead_s, soonest_s


def _cut(instance: Instance, steps: int) -> Instance:
    """The same problem over the first steps of its horizon."""
    return replace(instance, wl_w=instance.wl_w[:, :steps], growth=instance.growth[:steps])


def _lead_s(
    risks: Sequence[Violation], now: datetime, instance: Instance, horizon_s: float
) -> float:
    """Start of the first step that is over a limit; the horizon if there is none."""
    if not risks:
        return horizon_s
    first_s = min(epoch_s(v.at) for v in risks) - epoch_s(now)
    return max(first_s - instance.step_s, 0.0)


def _shortest_s(instance: Instance, decision: Decision) -> float:
    """Time for the whole churn budget in waves, each begun in a cycle of its own."""
    copy_s = 1024 * instance.wl_state_gib / instance.wl_bw_mibs
    longest_s = instance.setup_s + float((copy_s * instance.wl_movable).max(initial=0.0))
    waves = -(-decision.max_moves // decision.max_parallel)
    return waves * float(np.ceil(longest_s / instance.step_s)) * instance.step_s


def _tightened(instance: Instance, margin: float, lead_s: float) -> Instance:
    return replace(
        instance,
        limit_base_w=instance.limit_base_w * (1 - margin),
        limit_n1_w=instance.limit_n1_w * (1 - margin),
        lead_s=lead_s,
    )


def _plan(found: _Found, risks: Sequence[Violation], context: Context) -> Plan:
    solution = found.solution
    problem, graph, now = context.problem, context.graph, context.now
    cures = _cures(solution, risks, context)
    explanation = explain(found.instance, solution)
    reasons = [named(action.why, context) for action in explanation.actions]
    count = len(solution.moves)
    return Plan(
        id=f"plan-{int(epoch_s(now))}",
        made_at=now,
        moves=tuple(
            _move(move, problem, graph, why)
            for move, why in zip(solution.moves, reasons[:count], strict=True)
        ),
        transfers=tuple(
            _transfer(transfer, problem, graph, why)
            for transfer, why in zip(solution.ats, reasons[count:], strict=True)
        ),
        makespan_s=_makespan_s(solution, problem.instance, context.decision),
        lead_s=min((epoch_s(v.at) - epoch_s(now) for v in cures), default=0.0),
        cures=cures,
        why=tuple(named(line, context) for line in _lines(found, explanation)),
    )


def _lines(found: _Found, explanation: Explanation) -> list[str]:
    """The explanation of a plan."""
    later = []
    if found.short:
        minutes = found.steps * found.instance.step_s / 60
        later = [f"it holds for {minutes:.0f} min; beyond that {found.short}"]
    nodes = [node.sentence for node in explanation.nodes]
    lines = [explanation.sentence, *later, explanation.why_now, *nodes]
    if found.margin and nodes:
        lines.append(f"plans aim for limits less {found.margin:.0%}; those are the limits above")
    return lines


def _move(move: tuple[int, int, float], problem: Problem, graph: Graph, why: str) -> Move:
    workload, server, start_s = move
    source = graph.servers[int(problem.instance.wl_server[workload])]
    return Move(problem.workloads[workload], source, graph.servers[server], start_s, why)


def _transfer(
    transfer: tuple[int, int, float], problem: Problem, graph: Graph, why: str
) -> Transfer:
    node, source, start_s = transfer
    present = "AB"[int(problem.instance.ats_source[node])]
    return Transfer(graph.nodes[node], present, "AB"[source], start_s, why)


def _makespan_s(solution: Solution, instance: Instance, decision: Decision) -> float:
    """As carried out: actions start in the cycle in which they are due."""
    ends = [0.0]
    for workload, _, start_s in solution.moves:
        begin_s = float(np.ceil(start_s / decision.step_s)) * decision.step_s
        ends.append(begin_s + lasts_s(instance, workload))
    ends += [float(np.ceil(s / decision.step_s) * decision.step_s) for _, _, s in solution.ats]
    return max(ends)


def lasts_s(instance: Instance, workload: int) -> float:
    """How long a move takes."""
    copy_s = 1024 * instance.wl_state_gib[workload] / instance.wl_bw_mibs[workload]
    return float(instance.setup_s + copy_s)


def _cures(
    solution: Solution, risks: Sequence[Violation], context: Context
) -> tuple[Violation, ...]:
    """Risks that are gone with the plan carried out, on the evidence that showed them."""
    left = {(o.node, o.contingency) for o in _after(solution, context).over()}
    return tuple(v for v in risks if (context.graph.node[v.node], v.contingency) not in left)


def _after(solution: Solution, context: Context) -> Judgement:
    """The room with the plan carried out, judged exactly."""
    instance = context.problem.evidence
    wl_server, source = instance.wl_server.copy(), instance.ats_source.copy()
    for workload, server, _ in solution.moves:
        wl_server[workload] = server
    for node, to_source, _ in solution.ats:
        source[node] = to_source
    lost = context.judged.lost
    return judge_room(context.graph, instance, lost, wl_server, source)


def _worsened(found: _Found, context: Context) -> str:
    """What the plan would make worse than doing nothing, judged exactly; empty if nothing.

    The planner sees limits in watts; here amperes of every line, capacity steps and common-mode
    losses count too. Judged is the part of the horizon that the plan was sought for.
    """
    steps = found.steps
    before = {(o.node, o.contingency, o.line): o.excess(steps) for o in context.judged.over()}
    for over in _after(found.solution, context).over():
        key = (over.node, over.contingency, over.line)
        if over.excess(steps) > max(before.get(key, 0.0), 0.0) + _WORSE:
            unit = "A" if over.line else "W"
            case = f" after the loss of {over.contingency}" if over.contingency else ""
            return (
                f"{context.graph.nodes[over.node]} {over.line}{case} would carry"
                f" {over.load[:steps].max():.1f} {unit} of {over.limit:.1f} {unit}"
            )
    return ""


def adopt(
    state: State, plan: Plan, context: Context, *, against: str = ""
) -> tuple[State, list[Effect]]:
    """Carry a plan out from now on, or only advise it: as the feeds' modes and ``against`` say."""
    now = context.now
    held = against or _not_automatic(plan, context.graph)
    if not held:
        event = RaiseEvent(Severity.INFO, "plan", "; ".join((*plan.why[:2], *_steps(plan))), now)
        actions = _actions(plan, context.problem)
        return replace(state, plan=plan, actions=actions), [AdoptPlan(plan), event]
    if state.quiet.get("advice", now) > now:
        return state, []
    line = f"advice only, nothing is done: {held}"
    text = "; ".join((line, *_steps(plan)))
    state = hush(state, "advice", now, context.decision.dwell_s)
    advised = AdoptPlan(replace(plan, why=(line, *plan.why)))
    return state, [advised, RaiseEvent(Severity.WARNING, "plan_advised", text, now)]


def _actions(plan: Plan, problem: Problem) -> tuple[Action, ...]:
    moves = (
        Action(
            intent(plan.id, "move", m.workload),
            m.workload,
            plan.made_at,
            watts_w=problem.reference_w(m.workload),
            lasts_s=lasts_s(problem.instance, problem.workloads.index(m.workload)),
        )
        for m in plan.moves
    )
    transfers = (Action(intent(plan.id, "ats", t.ats), t.ats, plan.made_at) for t in plan.transfers)
    return (*moves, *transfers)


def _not_automatic(plan: Plan, graph: Graph) -> str:
    """Feeds that the plan touches and whose mode forbids acting; empty if it may be carried out."""
    touched = frozenset[str]()
    for move in plan.moves:
        touched |= graph.feeds_of(move.source) | graph.feeds_of(move.target)
    for transfer in plan.transfers:
        touched |= graph.feeds_of_node(transfer.ats)
    modes = {f.id: f.mode for f in graph.site.feed}
    held = sorted(f for f in touched if modes[f] != "automatic")
    return ", ".join(f"feed {f} is in mode {modes[f]}" for f in held)


def _steps(plan: Plan) -> tuple[str, ...]:
    moves = (f"move {m.workload} from {m.source} to {m.target}" for m in plan.moves)
    transfers = (f"transfer {t.ats} from {t.from_source} to {t.to_source}" for t in plan.transfers)
    return (*moves, *transfers)


def _refuse(
    state: State, against: tuple[str, ...], risks: Sequence[Violation], context: Context
) -> tuple[State, list[Effect]]:
    """Say why no plan ends the risk in time, and what could be switched off."""
    graph, now, decision = context.graph, context.now, context.decision
    state = hush(state, "retry", now, RETRY_STEPS * decision.step_s)
    if state.quiet.get("refusal", now) > now:
        return state, []
    intact = any(not v.contingency for v in risks)
    shed = shed_list(context.judged, context.problem, "" if intact else risks[0].contingency)
    why = "; ".join(named(line, context) for line in against)
    if len(graph.feeds) == 2:  # the rule of conservation holds for exactly two
        why += "; with two feeds, losing one puts everything on the other: only less load helps"
    event = RaiseEvent(Severity.CRITICAL if intact else Severity.WARNING, "no_plan", why, now)
    state = hush(state, "refusal", now, decision.dwell_s)
    offer = OfferShedList(now, shed.workloads, _shed_text(why, shed))
    return state, [event, offer]


def _shed_text(why: str, shed: ShedList) -> str:
    when = f"when {shed.contingency} is lost" if shed.contingency else "now"
    left_w = shed.excess_after_w
    rest = f"; {left_w:.0f} W over the limits remain even then" if left_w > 1 else ""
    return f"{why}; to be switched off {when}, {shed.lowered_s:.0f} s until the load is down{rest}"


def hush(state: State, kind: str, now: datetime, for_s: float) -> State:
    """Silence a kind of repeated advice for a while."""
    return replace(state, quiet={**state.quiet, kind: now + timedelta(seconds=for_s)})


def named(text: str, context: Context) -> str:
    """The planner's numbers as names."""
    graph = context.graph
    names = {"server": graph.servers, "workload": context.problem.workloads}

    def name(match: re.Match[str]) -> str:
        kind, index = match[1], int(match[2])
        if kind in names:
            return f"{kind} {names[kind][index]}"
        return f"{graph.words[index]} {graph.nodes[index]}"

    return re.sub(r"\b(feed|panel|rack PDU|phase|ATS|node|server|workload) (\d+)\b", name, text)
