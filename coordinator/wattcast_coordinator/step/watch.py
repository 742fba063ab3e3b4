"""From violations of one cycle to risks that people are told of and that may be acted upon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from wattcast_configs.control import Decision
from wattcast_coordinator.ports import (
    Effect,
    Inputs,
    OfferShedList,
    RaiseEvent,
    Severity,
    Violation,
)
from wattcast_coordinator.risk.reserve import Bridge
from wattcast_coordinator.risk.shed import ShedList
from wattcast_coordinator.risk.violations import Consequence
from wattcast_coordinator.step import supply
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.state import Episode, State
from wattcast_core.units import epoch_s

_DARK_NAMED, _TRIPS_NAMED = 6, 3  # in one line


@dataclass(frozen=True, slots=True)
class Outlook:
    """What overloads lead to.

    Attributes:
        trip_s: (node, contingency) -> data seconds until that node trips.
        ends: contingency -> how it ends if nothing is done.
        sheds: contingency -> what to switch off when it comes.
        stepped: feeds whose load jumped beyond what was thought possible.
    """

    trip_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    ends: Mapping[str, Consequence] = field(default_factory=dict)
    sheds: Mapping[str, ShedList] = field(default_factory=dict)
    stepped: frozenset[str] = frozenset()


def key(risk: Violation | Episode) -> str:
    """Name of a risk: where, and after which loss."""
    return f"{risk.node}|{risk.contingency}"


def newest_issue(inputs: Inputs, decision: Decision) -> datetime | None:
    """Issue time of the newest forecast; one from beyond the next step has a wrong clock."""
    latest_s = epoch_s(inputs.now) + decision.step_s
    sound = [f.issued_at for f in inputs.forecasts.values() if epoch_s(f.issued_at) <= latest_s]
    return max(sound, default=None)


def has_news(state: State, inputs: Inputs, decision: Decision) -> bool:
    """Whether any forecast is newer than those judged before."""
    newest = newest_issue(inputs, decision)
    return newest is not None and (state.evidence_at is None or newest > state.evidence_at)


def note(
    state: State, found: Sequence[Violation], ahead: Outlook, inputs: Inputs, decision: Decision
) -> tuple[State, list[Effect]]:
    """Count new evidence once; tell of each risk when it is first forecast, and when it is over."""
    if not has_news(state, inputs, decision):
        return state, []
    now = inputs.now
    present = {key(v): v for v in found}
    known = {key(e) for e in state.episodes}
    kept = [replace(e, absent=0 if key(e) in present else e.absent + 1) for e in state.episodes]
    over = [e for e in kept if e.absent >= decision.confirm_of]
    new = [v for name, v in present.items() if name not in known]
    episodes = [e for e in kept if e not in over]
    episodes += [Episode(v.node, v.contingency, now, v.at) for v in new]
    episodes = [_updated(e, ahead) for e in episodes]
    state = replace(
        state,
        evidence_at=newest_issue(inputs, decision),
        seen=(*state.seen, tuple(sorted(present)))[-decision.confirm_of :],
        episodes=tuple(episodes),
    )
    told = [_forecast(v, ahead, now) for v in new]
    return state, [*told, *(_over(e, now) for e in over)]


def confirmed(
    state: State, found: Sequence[Violation], decision: Decision
) -> tuple[Violation, ...]:
    """Present violations that stood in k of the last n cycles."""
    counts = {key(v): sum(key(v) in cycle for cycle in state.seen) for v in found}
    return tuple(v for v in found if counts[key(v)] >= decision.confirm)


def doubts(state: State, context: Context) -> tuple[State, list[Effect]]:
    """Tell once of servers without a fresh forecast and of switches that cannot be read."""
    now, devices = context.now, context.inputs.devices
    switches = [a.id for a in context.graph.site.ats]
    reasons = {name: supply.doubt(devices.get(name), now, context.decision) for name in switches}
    doubted = (*context.problem.stale, *(name for name in switches if reasons[name]))
    new = [name for name in doubted if name not in state.doubted]
    events = _stale([n for n in new if n not in reasons], context)
    for name in (n for n in new if n in reasons):
        text = f"ATS {name}: {reasons[name]}; it is not commanded until it reads well"
        events.append(RaiseEvent(Severity.WARNING, "ats_unread", text, now))
    back = [n for n in state.doubted if n not in doubted]
    if back:
        text = f"fresh again: {', '.join(back)}"
        events.append(RaiseEvent(Severity.INFO, "fresh", text, now))
    return replace(state, doubted=doubted), events


def gaps(state: State, found: Sequence[Bridge], now: datetime) -> tuple[State, list[Effect]]:
    """Tell once of each UPS whose battery, or generator whose step, no longer carries the load."""
    texts = {f"bridge {b.contingency} {b.ups}": b.gap for b in found if b.gap}
    new = [texts[name] for name in sorted(texts) if name not in state.gaps]
    over = [name for name in state.gaps if name not in texts]
    events: list[Effect] = [RaiseEvent(Severity.WARNING, "bridge_gap", text, now) for text in new]
    if over:
        text = f"bridged again: {', '.join(name.removeprefix('bridge ') for name in over)}"
        events.append(RaiseEvent(Severity.INFO, "bridge_gap_over", text, now))
    return replace(state, gaps=tuple(sorted(texts))), events


def _stale(names: list[str], context: Context) -> list[Effect]:
    """One event a rack."""
    events: list[Effect] = []
    racks = {s.id: s.rack for s in context.graph.site.server}
    for rack in sorted({racks[n] for n in names}):
        here = [n for n in names if racks[n] == rack]
        text = (
            f"rack {rack}: no fresh forecast of {', '.join(here)}; their last reading is carried "
            "on as load, nothing moves to or from them"
        )
        unknown = [n for n in here if n in context.problem.unknown]
        if unknown:
            feeds = frozenset[str]().union(*(context.graph.feeds_of(n) for n in unknown))
            text += (
                f"; {', '.join(unknown)} not measured lately: counted with full power, and "
                f"nothing is done on feeds {', '.join(sorted(feeds))}"
            )
        events.append(RaiseEvent(Severity.WARNING, "stale", text, context.now))
    return events


def _updated(e: Episode, ahead: Outlook) -> Episode:
    """With what the newest forecast says it leads to."""
    end, shed = ahead.ends.get(e.contingency), ahead.sheds.get(e.contingency)
    return replace(
        e,
        trip_s=ahead.trip_s.get((e.node, e.contingency)),
        dark=end.dark if end and end.trips else (),
        shed=shed.workloads if shed else (),
        shed_s=shed.lowered_s if shed else None,
    )


def on_loss(before: State, after: State, now: datetime) -> list[Effect]:
    """What was to be switched off when a feed is lost, offered the moment that it is."""
    offers: list[Effect] = []
    for feed in sorted(set(after.lost) - set(before.lost)):
        here = [e for e in before.episodes if e.contingency == feed and e.shed]
        if not here:
            continue
        trips_s = [e.trip_s for e in here if e.trip_s is not None]
        why = f"feed {feed} is lost, as prepared for"
        if trips_s and here[0].shed_s is not None:
            late = here[0].shed_s > min(trips_s)
            why += f"; the first trip comes after {min(trips_s):.0f} s, the load is down after"
            why += f" {here[0].shed_s:.0f} s" + (": too late for a stop, cut power" if late else "")
        offers.append(OfferShedList(now, here[0].shed, why))
    return offers


def _forecast(v: Violation, ahead: Outlook, now: datetime) -> RaiseEvent:
    lead_min = (epoch_s(v.at) - epoch_s(now)) / 60
    load = f"{v.load_w:.0f} W of {v.limit_w:.0f} W"
    if v.line:
        load = f"{v.load_a:.1f} A of {v.limit_a:.1f} A on {v.line}"
    what = f"{load} in {lead_min:.0f} min, P = {v.probability:.2f}"
    trip_s = ahead.trip_s.get((v.node, v.contingency))
    what += "" if trip_s is None else f"; it would trip in about {trip_s / 60:.0f} min"
    what += _dark(ahead.ends.get(v.contingency))
    if ahead.stepped:
        feeds = ", ".join(sorted(ahead.stepped))
        what += f"; feed {feeds} stepped up within one step: no forecast could know"
    if v.contingency:
        text = f"the loss of {v.contingency} would overload {v.node}: {what}"
        return RaiseEvent(Severity.CRITICAL, "n1_forecast", text, now)
    text = f"{v.node} heads for an overload: {what}"
    return RaiseEvent(Severity.WARNING, "overload_forecast", text, now)


def _dark(end: Consequence | None) -> str:
    if end is None:
        return ""
    then = f" ({', '.join(end.trips[:_TRIPS_NAMED])})" if end.trips else ""
    if end.trips and end.dark:
        then += f", and {_named(end.dark)} would go dark"
    if end.unproven:
        then += f"; {_named(end.unproven)} may not live on the cords left, by their ratings"
    return then


def _named(servers: Sequence[str]) -> str:
    names = ", ".join(servers[:_DARK_NAMED])
    more = f" and {len(servers) - _DARK_NAMED} more" if len(servers) > _DARK_NAMED else ""
    return f"{len(servers)} servers ({names}{more})"


def _over(e: Episode, now: datetime) -> RaiseEvent:
    case = f" after the loss of {e.contingency}" if e.contingency else ""
    text = f"{e.node}{case}: no longer at risk"
    return RaiseEvent(Severity.INFO, "risk_over", text, now)
