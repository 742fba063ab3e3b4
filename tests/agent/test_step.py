from dataclasses import replace

import pytest
from switch import LIMITS, START_S, order

from wattcast_agent.safety.state import Answer, Write
from wattcast_agent.signature.builder import Builder
from wattcast_agent.signature.layout import HostSpec, Layout
from wattcast_agent.step import Inputs, Keep, Send, Setup, State, Wrote, step
from wattcast_core.commands import Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.samples import Quality, Sample
from wattcast_core.units import from_epoch_s

STEP_S = 300.0
BEGIN_S = START_S // STEP_S * STEP_S
LAYOUT = Layout(
    (HostSpec("s1", 1),),
    {("m1", "inlet.1.power_w"): ("s1", 0)},
    {"pdu": frozenset({"m1", "in-a"})},
)
INPUTS = {"ats": {"A": "in-a", "B": "in-b"}}


class Forecasts:
    def update(self, signatures, now, sampled_real_s):
        rows = ((1.0, 2.0, 3.0, 4.0),)
        return [
            Forecast(s.server, now, STEP_S, rows, Kind.NAIVE, "", "naive", sampled_real_s)
            for s in signatures
        ]


@pytest.fixture
def state():
    setup = Setup(LAYOUT, {"ats": replace(LIMITS, lab=True)}, INPUTS)
    return State(setup, Builder(LAYOUT, STEP_S), Forecasts())


def poll(seconds, *, active=1.0, inlet_w=1480.0, commands=()):
    at = from_epoch_s(BEGIN_S + seconds)
    switch = {
        "ats.active_source": active,
        "ats.preferred_source": active,
        "ats.phase_angle_deg": 1.0,
    }
    meter = {"inlet.1.voltage_v": 230.0, "inlet.1.frequency_hz": 50.0}
    readings = {
        ("ats", "ats"): switch,
        ("in-a", "meter"): meter
        | {"inlet.1.current_a": 6.0 if active == 1 else 0.0, "inlet.1.power_w": 1380.0},
        ("in-b", "meter"): meter
        | {"inlet.1.current_a": 0.0 if active == 1 else 6.0, "inlet.1.power_w": 0.0},
        ("m1", "meter"): {"inlet.1.power_w": 100.0},
        ("pdu", "pdu"): {"inlet.1.power_w": inlet_w},
    }
    devices = tuple(DeviceState(d, k, at, Quality.GOOD, r) for (d, k), r in readings.items())
    samples = tuple(Sample(d.device, q, v, at) for d in devices for q, v in d.readings.items())
    host = Sample("s1", "load1", 1.0, at)
    real_s = BEGIN_S + seconds
    return Inputs(real_s, 1.0, (*samples, host), devices, real_s, commands=commands)


def beat(state, inputs):
    return step(state, inputs, from_epoch_s(inputs.real_s))


def idle(seconds, **change):
    return replace(Inputs(BEGIN_S + seconds, 1.0), **change)


def test_the_end_of_a_step_sends_signatures_forecasts_states_and_the_last_raw_samples(state):
    state, _ = beat(state, poll(100))
    state, effects = beat(state, poll(299))
    assert effects == ()
    state, (send,) = beat(state, idle(300.001))
    batch = send.batch
    assert [s.power_w for s in batch.signatures] == [100.0]
    assert [(f.issued_at, f.sampled_real_s) for f in batch.forecasts] == [
        (from_epoch_s(BEGIN_S + 300), BEGIN_S + 299)
    ]
    assert len(batch.devices) == 5
    assert {s.at for s in batch.samples} == {from_epoch_s(BEGIN_S + 299)}
    assert {s.quantity for s in batch.samples if s.source == "m1"} == {"inlet.1.power_w"}
    assert "s1" not in {s.source for s in batch.samples}
    assert beat(state, idle(300.1))[1] == ()


def test_what_workloads_use_is_sent_although_their_host_is_silent(state):
    used = Sample("s1", "workload.shop.cpu_seconds_total", 9.0, from_epoch_s(BEGIN_S + 299))
    state, _ = beat(state, replace(poll(299), samples=(*poll(299).samples, used)))
    _, (send,) = beat(state, idle(300.001))
    assert [s for s in send.batch.samples if s.source == "s1"] == [used]


def test_a_switch_that_moves_is_told_at_once_with_its_lock_out(state):
    state, first = beat(state, poll(1))
    assert {d.device for d in first[-1].batch.devices} == {"ats", "pdu"}
    moved = poll(2, active=2.0)
    ats = replace(
        moved.devices[0], readings={**moved.devices[0].readings, "ats.preferred_source": 1.0}
    )
    state, (keep, send) = beat(state, replace(moved, devices=(ats, *moved.devices[1:])))
    assert isinstance(keep, Keep)
    assert [d.device for d in send.batch.devices] == ["ats"]
    assert "lockout: moved by itself" in send.batch.devices[0].problem


def test_what_a_write_rests_on_is_kept_before_it(state):
    state, _ = beat(state, poll(1))
    command = order(expires=100.0)
    state, effects = beat(state, poll(2, commands=(command,)))
    assert [type(e) for e in effects] == [Keep, Write]
    assert effects[0].kept.running["ats"].command == command
    assert effects[0].kept.highest_token == command.token
    state, effects = beat(state, idle(2.1, wrote=(Wrote(command, "no such command", sent=False),)))
    assert [type(e) for e in effects] == [Keep, Answer]
    assert effects[1].result.outcome is Outcome.REFUSED


def test_the_leaders_token_fences_and_a_hold_bars(state):
    state, effects = beat(state, idle(1, token=9))
    assert effects == (Keep(state.safety.kept),)
    state, _ = beat(state, poll(2))
    state, _ = beat(state, poll(3))
    held = replace(
        idle(4, holds={"ats": "set at the rack"}), commands=(order(token=9, expires=100.0),)
    )
    state, effects = beat(state, held)
    assert "technician's hold" in effects[1].result.why


def test_meters_that_do_not_add_up_for_three_polls_are_told(state):
    for second in (1, 2):
        state, _ = beat(state, poll(second, inlet_w=2000.0))
    assert state.devices["pdu"].problem == ""
    state, (send,) = beat(state, poll(3, inlet_w=2000.0))
    assert "cords sum to 1480 W" in send.batch.devices[0].problem
    assert isinstance(send, Send)
    state, (send,) = beat(state, poll(4))
    assert send.batch.devices[0].problem == ""
