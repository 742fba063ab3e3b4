"""One beat of the agent: readings, commands and the time in; what to do out. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from wattcast_agent.safety import machine, reading
from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.state import Act, Answer, Kept, Moment, Safety, Tell, Write
from wattcast_agent.signature.builder import Builder
from wattcast_agent.signature.conservation import imbalance
from wattcast_agent.signature.layout import Layout
from wattcast_core.commands import AtsCommand
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.messages import Batch
from wattcast_core.points import ACTIVE_SOURCE, PREFERRED_SOURCE, WORKLOAD
from wattcast_core.samples import Sample
from wattcast_core.signature import Signature

_IMBALANCED_POLLS = 3  # in a row, before it is told: loads change between two reads of a sweep
_WATCHED = (ACTIVE_SOURCE, PREFERRED_SOURCE)


class Forecasts(Protocol):
    """What turns signatures into forecasts."""

    def update(
        self, signatures: Iterable[Signature], now: datetime, sampled_real_s: float
    ) -> list[Forecast]:
        """Take the signatures of one step; one forecast a server that allows it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What does not change while the agent runs.

    Attributes:
        switches: ATS -> its limits.
        inputs: ATS -> ``A`` and ``B`` -> the meter on that input.
        upses: ATS -> ``A`` or ``B`` -> the UPS before that input.
    """

    layout: Layout
    switches: Mapping[str, Limits] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    upses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What the agent knows. ``builder`` and ``forecasts`` advance in place.

    Attributes:
        devices: latest state of each device, as it was or will be told.
        samples: samples of the last poll.
        sampled_real_s: real time of the last poll.
        imbalanced: rack PDU -> polls in a row in which its meters did not add up.
    """

    setup: Setup
    builder: Builder
    forecasts: Forecasts
    safety: Safety = field(default_factory=Safety)
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    sampled_real_s: float = 0.0
    imbalanced: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wrote:
    """The answer to a ``Write``; ``sent`` is False if certainly nothing was written."""

    command: AtsCommand
    error: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Inputs:
    """What happened since the last beat.

    Attributes:
        real_s: real time (epoch s).
        poll_s: data seconds between two polls, for freshness.
        polled_real_s: real time at which the poll began, if there is one.
        holds: ATS -> a technician's hold; ``released``: switches a technician has checked.
        proofs: ATS -> who stands at the rack and wants it commissioned.
        identities: device -> what it says of itself.
        clock: why the real clock is in doubt; empty if it is not.
    """

    real_s: float
    poll_s: float
    samples: tuple[Sample, ...] = ()
    devices: tuple[DeviceState, ...] = ()
    polled_real_s: float = 0.0
    commands: tuple[AtsCommand, ...] = ()
    wrote: tuple[Wrote, ...] = ()
    token: int = 0
    holds: Mapping[str, str] = field(default_factory=dict)
    released: tuple[str, ...] = ()
    proofs: Mapping[str, str] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """Write this to disk before any effect after it."""

    kept: Kept


@dataclass(frozen=True, slots=True)
class Send:
    """Spool this and send it; the spool gives the sequence."""

    batch: Batch


Effect = Keep | Write | Answer | Tell | Send


def step(state: State, inputs: Inputs, now: datetime) -> tuple[State, tuple[Effect, ...]]:
    """One beat.

    Returns:
        The new state and what to do, in this order: what must be kept comes before what it allows.
    """
    before, told = state.safety.kept, state.devices
    if inputs.polled_real_s:
        state = _take_poll(state, inputs, now)
    state, acts = _guard(state, inputs, now)
    state = _mark(state, inputs)
    kept = state.safety.kept
    keep: list[Effect] = [Keep(kept)] if kept != before else []
    return state, (*keep, *acts, *_report(state, told, now))


def _take_poll(state: State, inputs: Inputs, now: datetime) -> State:
    state.builder.add(inputs.samples, now)
    devices = {d.device: d for d in inputs.devices}
    off = imbalance(state.setup.layout, devices)
    return replace(
        state,
        devices=devices,
        samples=inputs.samples,
        sampled_real_s=inputs.polled_real_s,
        imbalanced={pdu: state.imbalanced.get(pdu, 0) + 1 for pdu in off},
    )


def _guard(state: State, inputs: Inputs, now: datetime) -> tuple[State, list[Act]]:
    """Run the interlocks: answers, readings, orders, then whatever is under way."""
    moment = Moment(now, inputs.real_s, inputs.poll_s, inputs.clock)
    safety = replace(state.safety, holds=inputs.holds)
    safety = machine.release(safety, inputs.released) if inputs.released else safety
    if inputs.token > safety.kept.highest_token:
        safety = replace(safety, kept=replace(safety.kept, highest_token=inputs.token))
    acts: list[Act] = []
    for answer in inputs.wrote:
        command, error = answer.command, answer.error
        safety, more = machine.wrote(safety, command, moment, error, sent=answer.sent)
        acts.extend(more)
    if inputs.polled_real_s:
        safety = _read_switches(safety, state, inputs.identities)
    for command in inputs.commands:
        limits = state.setup.switches.get(command.ats)
        safety, more = machine.order(safety, command, moment, limits)
        acts.extend(more)
    for ats, witness in inputs.proofs.items():
        limits = state.setup.switches.get(ats)
        safety, more = machine.prove(safety, ats, witness, moment, limits)
        acts.extend(more)
    for ats in tuple(safety.kept.running):
        safety, more = machine.advance(safety, ats, moment, state.setup.switches.get(ats))
        acts.extend(more)
    return replace(state, safety=safety), acts


def _read_switches(safety: Safety, state: State, identities: Mapping[str, str]) -> Safety:
    for ats, limits in state.setup.switches.items():
        switch = state.devices.get(ats)
        if switch is not None:
            inputs, upses = state.setup.inputs.get(ats, {}), state.setup.upses.get(ats, {})
            meters = {s: state.devices[m] for s, m in inputs.items() if m in state.devices}
            before = {s: state.devices.get(u) for s, u in upses.items()}
            now = reading.combine(switch, meters, before, identities.get(ats, ""))
            safety = machine.read(safety, ats, now, limits)
    return safety


def _mark(state: State, inputs: Inputs) -> State:
    """Write what the agent found out into the states it tells."""
    if not inputs.polled_real_s:
        return state
    devices = dict(state.devices)
    for ats in state.setup.switches:
        if ats in devices:
            told = {**devices[ats].readings, **state.safety.settings(ats)}
            devices[ats] = replace(devices[ats], readings=told)
        _complain(devices, ats, state.safety.problem(ats))
    off = imbalance(state.setup.layout, state.devices)
    for pdu, text in off.items():
        if state.imbalanced.get(pdu, 0) >= _IMBALANCED_POLLS:
            _complain(devices, pdu, text)
    return replace(state, devices=devices)


def _complain(devices: dict[str, DeviceState], device: str, text: str) -> None:
    if text and device in devices:
        old = devices[device]
        devices[device] = replace(old, problem="; ".join(filter(None, (old.problem, text))))


def _report(state: State, told: Mapping[str, DeviceState], now: datetime) -> list[Effect]:
    """A batch for the steps that ended, or at once for a switch or PDU that changed."""
    steps = state.builder.close(now)
    if steps:
        return [Send(_step_batch(state, steps))]
    changed = tuple(d for d in state.devices.values() if _news(told.get(d.device), d))
    return [Send(Batch(0, devices=changed))] if changed else []


def _step_batch(state: State, steps: Sequence[tuple[Signature, ...]]) -> Batch:
    forecasts: list[Forecast] = []
    for signatures in steps:
        if signatures:
            end = signatures[0].at + timedelta(seconds=signatures[0].step_s)
            forecasts = state.forecasts.update(signatures, end, state.sampled_real_s)
    silent = state.setup.layout.silent
    return Batch(
        sequence=0,
        samples=tuple(s for s in state.samples if _worth(s, state.setup.layout, silent)),
        signatures=tuple(s for signatures in steps for s in signatures),
        forecasts=tuple(forecasts),
        devices=tuple(state.devices.values()),
    )


def _worth(sample: Sample, layout: Layout, silent: frozenset[str]) -> bool:
    """Raw samples that are sent: of cord meters the power, of hosts what their workloads use."""
    if sample.source not in silent or sample.quantity.startswith(WORKLOAD):
        return True
    return (sample.source, sample.quantity) in layout.cords


def _news(before: DeviceState | None, after: DeviceState) -> bool:
    if after.kind not in ("ats", "pdu"):
        return False
    if before is None or (before.problem, before.quality) != (after.problem, after.quality):
        return True
    return any(before.readings.get(q) != after.readings.get(q) for q in _WATCHED)
