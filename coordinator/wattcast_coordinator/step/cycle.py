"""One decision cycle, in order: supply, progress, problem, risk, plan, else money, action."""

from collections.abc import Sequence
from dataclasses import replace

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import Problem, build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import Effect, Inputs, MoveState, Violation
from wattcast_coordinator.risk.judgement import Judgement, balanced_limits, judge_room
from wattcast_coordinator.risk.reserve import bridges
from wattcast_coordinator.risk.shed import shed_list
from wattcast_coordinator.risk.violations import consequences, trip_times_s, violations
from wattcast_coordinator.step import planning, progress, supply, thrift, watch
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.state import State
from wattcast_coordinator.step.surprise import stepped_up
from wattcast_coordinator.topology.graph import Graph


def step(
    state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> tuple[State, list[Effect]]:
    """Decide once; call it once a decision step, in order.

    The same inputs give the same effects; a plan's id and intents follow from its time.

    Returns:
        The state to keep (``to_dict`` for the next leader) and the effects to carry out.
    """
    news = watch.has_news(state, inputs, decision)
    before = state
    state, effects = supply.observe(state, inputs, graph, decision)
    effects += watch.on_loss(before, state, inputs.now)
    state, more = progress.absorb(state, inputs, graph, decision)
    effects += more
    stands = standing(state, inputs, graph, decision)
    problem = build(graph, inputs, decision, stands)
    judged = judge_room(graph, problem.evidence, frozenset(state.lost))
    problem = replace(problem, instance=balanced_limits(judged, problem.instance))
    context = Context(graph, inputs, decision, problem, judged)
    state, more = watch.doubts(state, context)
    effects += more
    state, more = watch.gaps(state, bridges(judged.room, judged.single), inputs.now)
    effects += more
    found = violations(judged, problem.evidence, inputs.now)
    state, stepped = stepped_up(state, judged, inputs, stands)
    ahead = _ahead(judged, problem, found, stepped) if found else watch.Outlook()
    state, more = watch.note(state, found, ahead, inputs, decision)
    effects += more
    confirmed = watch.confirmed(state, found, decision)
    if news and _free(state, inputs) and _within_bounds(confirmed, problem, graph):
        state, more = planning.respond(state, found, context)
        effects += more
    elif news and not found and not state.episodes and _free(state, inputs):
        state, more = thrift.save_money(state, context)
        effects += more
    state, more = progress.drive(state, context)
    return state, [*effects, *more]


def _ahead(
    judged: Judgement, problem: Problem, found: Sequence[Violation], stepped: frozenset[str]
) -> watch.Outlook:
    """What the overloads would lead to, and what to switch off for each loss."""
    ends = consequences(judged, problem.evidence, [v.contingency for v in found])
    return watch.Outlook(
        trip_times_s(judged, problem.evidence),
        ends,
        {name: shed_list(judged, problem, name) for name in ends},
        stepped,
    )


def standing(state: State, inputs: Inputs, graph: Graph, decision: Decision) -> Standing:
    """What the state says about the room, for the problem of this cycle."""
    resting = state.resting(inputs.now)
    barred = dict(state.locked)
    for ats in graph.site.ats:
        why = supply.doubt(inputs.devices.get(ats.id), inputs.now, decision)
        if why or ats.id in resting:
            barred[ats.id] = why or "dwell"
    return Standing(
        lost=frozenset(state.lost),
        ats=state.ats,
        ats_barred=barred,
        frozen=frozenset(f.id for f in graph.site.feed if f.mode == "observe"),
        resting=resting,
        no_target=frozenset(n for n, until in state.no_target.items() if until > inputs.now),
        shifts=state.shifts,
    )


def _free(state: State, inputs: Inputs) -> bool:
    """Whether a plan may be made: none under way, nothing in motion, no refusal just now."""
    moving = any(m.state is MoveState.RUNNING for m in inputs.moves)
    retry_at = state.quiet.get("retry", inputs.now)
    return state.plan is None and not moving and retry_at <= inputs.now


def _within_bounds(confirmed: tuple[object, ...], problem: Problem, graph: Graph) -> bool:
    """Whether a confirmed risk exists and any feed may be touched at all."""
    return bool(confirmed) and not frozenset(graph.feeds) <= problem.frozen
