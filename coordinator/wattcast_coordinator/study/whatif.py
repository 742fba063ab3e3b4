"""Answers to ``what if``: what would be over its limit, go dark or trip, and what would help."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.ports import (
    AdoptPlan,
    Inputs,
    Move,
    OfferShedList,
    RaiseEvent,
    Transfer,
)
from wattcast_coordinator.risk.judgement import balanced_limits, judge_room
from wattcast_coordinator.risk.violations import consequences, trip_times_s, violations
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.step.planning import respond
from wattcast_coordinator.step.state import State
from wattcast_coordinator.study.changes import (
    Add,
    Ambient,
    Change,
    Lose,
    extended,
    parse,
    warmer,
)
from wattcast_coordinator.study.judged import Headroom, Judged, described, judge
from wattcast_coordinator.study.recording import Recording
from wattcast_coordinator.topology import graph as graphs
from wattcast_coordinator.topology.graph import Graph

_SHOWN = 12
_MOST_TRIED = 512  # servers, when it is sought how many would fit
AS_IS, WITH_PLAN, NO = "as it is", "with a plan", "no"


@dataclass(frozen=True, slots=True)
class Answer:
    """What people are told.

    Attributes:
        question: as asked.
        lost: what is supposed to be lost.
        holds: AS_IS, WITH_PLAN or NO.
        over: what would be over its limit.
        dark: servers that would have no supply.
        trips: what would trip if nothing is done, and when.
        moves, transfers: of the plan that would help.
        refused: why none would.
        shed: what to switch off then, in order.
        next_losses: further losses that would overload or darken something.
        before, after: headroom of the feeds.
        notes: what the answer rests on, and what it does not say.
    """

    question: str
    lost: tuple[str, ...]
    holds: str
    over: tuple[str, ...] = ()
    dark: tuple[str, ...] = ()
    trips: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    refused: tuple[str, ...] = ()
    shed: tuple[str, ...] = ()
    next_losses: tuple[str, ...] = ()
    before: tuple[Headroom, ...] = ()
    after: tuple[Headroom, ...] = ()
    notes: tuple[str, ...] = ()


def ask(recording: Recording, questions: Sequence[str]) -> Answer:
    """Answer a question, or several at once (all changes together).

    Raises:
        ConfigError: a question is not understood.
        Refused: it cannot be answered with what the site file says.
    """
    graph = graphs.build(recording.site)
    changes = [change for text in questions for change in parse(text, graph)]
    before = _room(recording, graph).headroom()
    lost: frozenset[str] = frozenset()
    notes: tuple[str, ...] = _basis(recording)
    changed = recording
    for change in changes:
        changed, lost, more = _applied(changed, change, lost)
        notes += more
    answer = _answer(changed, lost, "; ".join(questions))
    return replace(answer, before=before, notes=(*notes, *answer.notes))


def _applied(
    recording: Recording, change: Change, lost: frozenset[str]
) -> tuple[Recording, frozenset[str], tuple[str, ...]]:
    if isinstance(change, Lose):
        return recording, lost | {change.node}, ()
    if isinstance(change, Ambient):
        warm = warmer(recording, change)
        return warm, lost, (_derated(recording, warm, change.celsius),)
    full = extended(recording, change, like_neighbours=False)
    return full, lost, _room_left(recording, change)


def _derated(recording: Recording, warm: Recording, celsius: float) -> str:
    """What another air temperature does to limits."""
    before, after = (graphs.build(r.site) for r in (recording, warm))
    lower = [
        (
            now.base_w / was.base_w,
            f"{after.words[node]} {after.nodes[node]}",
            now.base_w,
            was.base_w,
        )
        for node, (was, now) in enumerate(zip(before.limits, after.limits, strict=True))
        if now.base_w < was.base_w
    ]
    curves = "trip curves and the racks' cooling are taken at that temperature"
    if not lower:
        return f"at {celsius:g} C no limit is lower; {curves}"
    _, name, now_w, was_w = min(lower)
    return (
        f"at {celsius:g} C {len(lower)} limits are lower, most of all that of {name}: {now_w:.0f} W"
        f" instead of {was_w:.0f} W; {curves}"
    )


def _room_left(recording: Recording, add: Add) -> tuple[str, ...]:
    """How many servers would fit there, by two suppositions about their load."""
    out = ["new servers are supposed at full power, wired as those of their rack in turn"]
    for like, words in ((False, "at full power"), (True, "loaded like their neighbours")):
        low, high = 0, 1
        while high <= _MOST_TRIED and _fits(recording, replace(add, count=high), like=like):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if _fits(recording, replace(add, count=middle), like=like):
                low = middle
            else:
                high = middle
        more = " or more" if low >= _MOST_TRIED else ""
        out.append(f"{words} {low}{more} fit into rack {add.rack} without a plan")
    return tuple(out)


def _fits(recording: Recording, add: Add, *, like: bool) -> bool:
    tried = extended(recording, add, like_neighbours=like)
    return not _room(tried, graphs.build(tried.site)).over()


def _room(recording: Recording, graph: Graph, out: frozenset[str] = frozenset()) -> Judged:
    stands = standing(recording.state, recording.inputs, graph, recording.decision)
    return judge(graph, recording.inputs, recording.decision, stands, out)


def _answer(recording: Recording, lost: frozenset[str], question: str) -> Answer:
    """As the decision core would see and answer it in the next cycle."""
    graph = graphs.build(recording.site)
    inputs = replace(recording.inputs, moves=())
    gone = frozenset(recording.state.lost) | lost
    state = replace(recording.state, lost=tuple(sorted(gone)), plan=None, actions=(), quiet={})
    context = _context(state, inputs, graph, recording.decision)
    found = violations(context.judged, context.problem.evidence, inputs.now)
    over = tuple(dict.fromkeys(described(o, graph) for o in context.judged.over()))[:_SHOWN]
    room = _room(recording, graph, lost)
    answer = Answer(
        question=question,
        lost=tuple(sorted(lost)),
        holds=AS_IS,
        over=over,
        dark=room.dark(),
        after=room.headroom(),
        next_losses=_next(room) if lost else (),
    )
    if not found:
        return replace(answer, holds=NO if answer.dark else AS_IS)
    due_s = trip_times_s(context.judged, context.problem.evidence)
    ends = consequences(context.judged, context.problem.evidence, [v.contingency for v in found])
    trips = [f"{node}{f' after the loss of {case}' if case else ''} in {s:.0f} s"
             for (node, case), s in sorted(due_s.items(), key=lambda item: item[1])]  # fmt: skip
    further = sorted({name for end in ends.values() for name in end.dark} - set(answer.dark))
    if further:
        trips.append(f"what trips would leave dark: {', '.join(further[:_SHOWN])}")
    _, effects = respond(State(), found, context)
    plan = next((e.plan for e in effects if isinstance(e, AdoptPlan)), None)
    why = tuple(e.text for e in effects if isinstance(e, RaiseEvent) and e.kind == "no_plan")
    shed = next((e.workloads for e in effects if isinstance(e, OfferShedList)), ())
    helped = plan is not None and not why and not answer.dark
    return replace(
        answer,
        holds=WITH_PLAN if helped else NO,
        trips=tuple(trips[:_SHOWN]),
        moves=plan.moves if plan else (),
        transfers=plan.transfers if plan else (),
        refused=why,
        shed=shed,
    )


def _context(state: State, inputs: Inputs, graph: Graph, decision: Decision) -> Context:
    problem = build(graph, inputs, decision, standing(state, inputs, graph, decision))
    judged = judge_room(graph, problem.evidence, frozenset(state.lost))
    problem = replace(problem, instance=balanced_limits(judged, problem.instance))
    return Context(graph, inputs, decision, problem, judged)


def _next(room: Judged) -> tuple[str, ...]:
    """Further losses that something would not bear."""
    worst: dict[str, str] = {}
    for over in room.over():
        if over.contingency and over.contingency not in worst:
            worst[over.contingency] = described(over, room.graph)
    for name, count in room.darkened().items():
        worst.setdefault(name, f"the further loss of {name} would leave {count} servers dark")
    return tuple(worst.values())[:_SHOWN]


def _basis(recording: Recording) -> tuple[str, ...]:
    inputs = recording.inputs
    if not inputs.forecasts:
        return ("nothing was measured: every server counts with its full power",)
    return (f"as seen at {inputs.now:%Y-%m-%d %H:%M} UTC, over the forecasts' horizon",)
