"""What meters and switches say about the supply: feeds lost or back, switches and their sources."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.outlook import STALE_STEPS
from wattcast_coordinator.ports import Effect, Inputs, RaiseEvent, Severity
from wattcast_coordinator.step.state import State
from wattcast_coordinator.topology.graph import Graph
from wattcast_core import points
from wattcast_core.devices import DeviceState
from wattcast_core.samples import Quality
from wattcast_core.units import epoch_s

DARK_V = 50.0  # a live feed is never that low; a dead one induces less
_DARK_W, _ALIVE_W = 2.0, 5.0  # of a cord
_LEAST_CORDS = 2
_CARRIES = 0.2  # least share of a cord that must show power


def observe(
    state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> tuple[State, list[Effect]]:
    """Read the switches; hold a feed for lost, or for back, on k-of-n good evidence."""
    sources = dict(state.ats)
    for ats in graph.site.ats:
        device = inputs.devices.get(ats.id)
        if device is not None and not doubt(device, inputs.now, decision):
            sources[ats.id] = int(device.readings[points.ACTIVE_SOURCE]) - 1
    state = replace(state, ats=sources)
    if state.cycle_at is not None and inputs.now <= state.cycle_at:
        return state, []
    marks = tuple(m for feed in graph.feeds for m in _mark(feed, state, inputs, graph, decision))
    recent = (*state.power_seen, marks)[-decision.confirm_of :]
    state = replace(state, cycle_at=inputs.now, power_seen=recent)
    return _conclude(state, marks, inputs.now, graph, decision)


def doubt(device: DeviceState | None, now: datetime, decision: Decision) -> str:
    """Why a switch's position is not known; empty if it is."""
    if device is None:
        return "never read"
    if device.quality is not Quality.GOOD or device.problem:
        return device.problem or f"reading is {device.quality.value}"
    if epoch_s(now) - epoch_s(device.at) > STALE_STEPS * decision.step_s:
        return f"last read at {device.at:%H:%M:%S}"
    source = device.readings.get(points.ACTIVE_SOURCE, math.nan)
    return "" if source in (1, 2) else "no active source"


def _conclude(
    state: State, marks: tuple[str, ...], now: datetime, graph: Graph, decision: Decision
) -> tuple[State, list[Effect]]:
    lost, events = set(state.lost), list[Effect]()
    for feed in graph.feeds:
        for sign, held in (("-", feed in lost), ("+", feed not in lost)):
            times = sum(sign + feed in cycle for cycle in state.power_seen)
            if held or sign + feed not in marks or times < decision.confirm:
                continue
            lost ^= {feed}
            events.append(_event(feed, sign, times, now))
    return replace(state, lost=tuple(sorted(lost))), events


def _event(feed: str, sign: str, times: int, now: datetime) -> RaiseEvent:
    if sign == "-":
        text = (
            f"feed {feed} is lost: no voltage in {times} cycles. The others are held to their "
            "emergency limits; nothing is promised for a second loss"
        )
        return RaiseEvent(Severity.CRITICAL, "feed_lost", text, now)
    return RaiseEvent(Severity.INFO, "feed_back", f"feed {feed} has voltage again", now)


def _mark(
    feed: str, state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> tuple[str, ...]:
    """``-feed`` if all good evidence says dark, ``+feed`` if some says alive, else nothing."""
    volts = list(_volts(feed, state, inputs, graph, decision))
    if volts and all(math.isfinite(v) for v in volts):
        return (f"-{feed}",) if max(volts) < DARK_V else (f"+{feed}",)
    watts = list(_cords(feed, state, inputs, graph, decision))
    if len(watts) >= _LEAST_CORDS and max(watts) < _DARK_W:
        return (f"-{feed}",)
    return (f"+{feed}",) if watts and max(watts) > _ALIVE_W else ()


def _new(at: datetime, state: State, now: datetime, decision: Decision) -> bool:
    """Whether a reading is fresh and was not judged in an earlier cycle."""
    fresh = epoch_s(now) - epoch_s(at) <= STALE_STEPS * decision.step_s
    return fresh and (state.cycle_at is None or at > state.cycle_at)


def _volts(
    feed: str, state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> Iterable[float]:
    """Voltage at each rack PDU of a feed; NaN where there is no good new reading."""
    for pdu in graph.site.pdu:
        if graph.feeds_of_node(pdu.id) == {feed}:
            device = inputs.devices.get(pdu.id)
            good = device is not None and device.quality is Quality.GOOD
            if device and good and _new(device.at, state, inputs.now, decision):
                yield points.supply(device.readings, "voltage_v")
            else:
                yield math.nan


def _cords(
    feed: str, state: State, inputs: Inputs, graph: Graph, decision: Decision
) -> Iterable[float]:
    """Power of cords that hang on a feed and should carry some, of servers that are on."""
    only = frozenset({feed})
    for server in graph.site.server:
        signature = inputs.signatures.get(server.id)
        if signature is None or signature.quality is not Quality.GOOD:
            continue
        end = signature.at + timedelta(seconds=signature.step_s)
        if len(server.cords) < 2 or not _new(end, state, inputs.now, decision):
            continue
        if not signature.power_w > 0.5 * server.idle_w:
            continue
        for cord, watts in enumerate(signature.cords_w[: len(server.cords)]):
            hangs = graph.feeds_of_node(server.cords[cord]) == only
            if hangs and server.split[cord] >= _CARRIES:
                yield watts
