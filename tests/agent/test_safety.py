import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from switch import ALIVE, DEAD, IDENTITY, IDLE, LIMITS, Rack, commissioned, moment, order, reading

from wattcast_agent.safety import machine, persist
from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.reading import Source, combine
from wattcast_agent.safety.state import Kept
from wattcast_configs.rack import AtsSafety
from wattcast_core.commands import Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.errors import DataError
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s


@pytest.fixture
def rack():
    ready = Rack()
    ready.read(reading(-2), reading(-1), reading(0))
    return ready


def test_a_safe_command_is_written_once_and_counts_only_when_read_back(rack):
    rack.order(order(), 0.1)
    assert [c.to_source for c in rack.writes] == ["B"]
    assert rack.results == []
    rack.see(1, "")
    rack.see(2, "B")
    rack.see(61, "B")
    assert rack.results == []
    rack.see(62, "B")
    assert (rack.results[0].outcome, rack.results[0].verified) == (Outcome.TRANSFERRED, True)
    rack.order(order(), 63)
    assert len(rack.writes) == 1
    assert rack.results[0] == rack.results[1]


def refused(rack, why):
    assert rack.writes == []
    assert [r.outcome for r in rack.results] == [Outcome.REFUSED]
    assert why in rack.results[0].why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"token": 0}, "fencing token 0"),
        ({"expires": 0.05}, "expired"),
        ({"expires": math.nan}, "expired"),
        ({"to_source": "C"}, "from and to must be A and B"),
        ({"to_source": "A"}, "from and to must be A and B"),
        ({"to": "A"}, "active source is A, expected B"),
        ({"ats": "other"}, "no transfer switch 'other'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_order_is_refused(rack, change, why):
    rack.order(order(**change), 0.1)
    refused(rack, why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sources": {"A": ALIVE, "B": DEAD}}, "source B is out of its window"),
        ({"sources": {"A": ALIVE, "B": Source(200.0, 50.0, 0.0)}}, "out of its window"),
        ({"sources": {"A": ALIVE, "B": Source(230.0, 50.9, 0.0)}}, "out of its window"),
        ({"sources": {"A": ALIVE, "B": Source(230.0, math.nan, 0.0)}}, "out of its window"),
        ({"sources": {"A": ALIVE, "B": replace(IDLE, available=False)}}, "B is not available"),
        ({"sources": {"A": ALIVE, "B": replace(IDLE, ups="on battery")}}, "source B: on battery"),
        ({"sources": {"A": replace(ALIVE, current_a=17.0), "B": IDLE}}, "rating 16.0 A"),
        ({"sources": {"A": IDLE, "B": ALIVE}}, "6.0 A flow on the other input"),
        ({"phase_deg": -25.0}, "phase angle -25"),
        ({"phase_deg": math.nan}, "nothing tells whether the sources are in phase"),
        ({"phase_deg": math.nan, "in_phase": False}, "not in phase"),
        ({"in_phase": False}, "not in phase"),
        ({"local": "the switch is bypassed"}, "the switch is bypassed"),
        ({"fault": "overload"}, "fault: overload"),
        ({"active": ""}, "active source is none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_newest_reading_forbids_it(rack, change, why):
    rack.read(replace(reading(0.5), **change))
    rack.order(order(), 0.6)
    refused(rack, why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hold_up_ms": 0.0}, "hold-up 0 ms"),
        ({"hold_up_ms": 12.0}, "hold-up 12 ms"),
        ({"max_per_hour": 0}, "cap of 0 transfers"),
        ({"trip_a": 17.0}, "inrush of 18 A could open a breaker (17 A)"),
        ({"ups_b": ""}, "does not say which UPS stands behind source B"),
        ({"supplies": ()}, "what supplies the agent itself"),
        ({"supplies": ("ats",)}, "the agent itself hangs on this switch alone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_switch_is_not_fit_for_commands(rack, change, why):
    rack.limits = replace(LIMITS, **change)
    rack.safety = replace(rack.safety, kept=commissioned(rack.limits))
    rack.order(order(), 0.1)
    refused(rack, why)


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (Kept(), "not commissioned"),
        (commissioned(replace(LIMITS, rating_a=20.0)), "is void: its entry or profile changed"),
    ],
    ids=["never", "under other limits"],
)
def test_a_switch_is_only_read_until_it_is_commissioned(rack, kept, why):
    rack.safety = replace(rack.safety, kept=kept)
    rack.order(order(), 0.1)
    refused(rack, why)


def test_a_lab_switch_needs_no_commissioning(rack):
    rack.limits = replace(LIMITS, lab=True, ups_a="", supplies=())
    rack.safety = replace(rack.safety, kept=Kept())
    rack.order(order(), 0.1)
    assert len(rack.writes) == 1


def test_another_firmware_voids_the_commissioning(rack):
    rack.read(replace(reading(0.5), identity="Maker Switch 1.1"))
    rack.order(order(), 0.6)
    refused(rack, "it says 'Maker Switch 1.1', commissioned was 'Maker Switch 1.0'")
    again = Rack(persist.load(persist.dump(rack.safety.kept)))
    again.safety = machine.release(again.safety, ["ats"])
    again.read(reading(1), reading(2))
    again.order(order(2), 2.1)
    refused(again, "not commissioned")


def test_a_switch_that_does_not_say_what_it_is_is_not_commanded(rack):
    rack.read(replace(reading(0.5), identity=""))
    rack.order(order(), 0.6)
    refused(rack, "it says '', not 'Maker Switch 1.0'")


def test_a_clock_in_doubt_bars_every_order(rack):
    doubt = replace(moment(0.1), clock="3.0 s behind the coordinator's")
    rack._took(machine.order(rack.safety, order(), doubt, LIMITS))
    refused(rack, "3.0 s behind")


def test_a_feed_that_cannot_take_the_load_now_is_spared(rack):
    rack.order(order(most_a=5.0), 0.1)
    refused(rack, "output carries 6.0 A, feed B can take 5.0 A")
    rack.order(order(2, most_a=6.5), 0.2)
    assert len(rack.writes) == 1


def test_one_switch_at_a_time_moves_to_a_feed(rack):
    other = replace(LIMITS, id="ats2")
    kept = commissioned(other).commissions | rack.safety.kept.commissions
    rack.safety = replace(rack.safety, kept=replace(rack.safety.kept, commissions=kept))
    for second in (-1, 0):
        rack.safety = machine.read(rack.safety, "ats2", reading(second), other)
    rack.order(order(1), 0.1)
    rack._took(machine.order(rack.safety, order(2, ats="ats2", expires=1.5), moment(0.2), other))
    assert [c.ats for c in rack.writes] == ["ats"]
    rack.safety = machine.read(rack.safety, "ats2", reading(1), other)
    rack._took(machine.advance(rack.safety, "ats2", moment(1.6), other))
    assert "ats is moving to feed B, until the command expired" in rack.results[0].why


def test_a_technicians_hold_beats_the_coordinator(rack):
    rack.safety = replace(rack.safety, holds={"ats": "set at the rack"})
    rack.order(order(), 0.1)
    refused(rack, "technician's hold")


def test_a_lower_token_is_refused_for_ever_after_a_higher_one(rack):
    rack.order(order(1, token=9, to="A"), 0.1)  # refused itself, yet its token counts
    rack.order(order(2, token=8), 0.2)
    assert rack.writes == []
    assert "fencing token 8 is lower than 9" in rack.results[1].why
    again = Rack(persist.load(persist.dump(rack.safety.kept)))
    again.read(reading(1), reading(2))
    again.order(order(3, token=8), 2.1)
    refused(again, "lower than 9")


@pytest.mark.parametrize("bad", [{"doubt": "meter is stale"}, None], ids=["doubtful", "missing"])
def test_lost_polls_make_a_command_wait_then_expire(bad):
    rack = Rack()
    rack.read(reading(-1), *([reading(0, **bad)] if bad else []))
    rack.order(order(), 0.1 if bad else 2.5)
    for second in range(3, 10):
        rack.tick(second)
    assert rack.results == []
    rack.tick(10.5)
    refused(rack, "until the command expired")


def test_catkit2_35_one_lost_poll_actuates_nothing_and_ends_nothing(rack):
    rack.read(reading(0.5, doubt="no answer", active=""))
    assert (rack.safety.problem("ats"), rack.writes, rack.results) == ("", [], [])
    rack.order(order(), 0.6)
    assert rack.writes == [], "it waits for trusted readings"
    rack.see(1)
    assert len(rack.writes) == 1
    rack.see(2, doubt="no answer")
    rack.see(3, "B")
    rack.see(4, doubt="no answer")
    assert rack.results == [], "a lost poll is no return"


def test_waiting_ends_with_the_second_agreeing_reading():
    rack = Rack()
    rack.order(order(), 0)
    rack.see(1)
    assert rack.writes == []
    rack.see(1, doubt="the same poll again")
    assert rack.writes == []
    rack.see(2)
    assert len(rack.writes) == 1


def test_one_command_at_a_time_a_switch(rack):
    rack.order(order(1), 0.1)
    rack.order(order(2), 0.2)
    assert len(rack.writes) == 1
    assert "busy with command c1" in rack.results[0].why


def test_a_preference_that_moves_nothing_is_not_a_transfer(rack):
    rack.order(order(), 0.1)
    for second in (1, 3, 5):
        rack.see(second, "A", "B")
    assert rack.results == []
    rack.see(5.2, "A", "B")
    assert rack.results[0].outcome is Outcome.PREFERENCE_SET_NOT_MOVED
    assert "active source is still A" in rack.safety.problem("ats"), "it may move by itself later"


def test_a_switch_that_goes_back_is_reported_and_locked_out(rack):
    rack.order(order(), 0.1)
    rack.see(1, "B")
    rack.see(30, "A", "B")
    assert rack.results[0].outcome is Outcome.MOVED_THEN_RETURNED
    assert "lockout" in rack.safety.problem("ats")
    rack.read(reading(400), reading(401))
    rack.order(order(2, expires=500.0), 401)
    assert "locked out" in rack.results[1].why
    rack.safety = machine.release(rack.safety, ["ats"])
    rack.order(order(3, expires=500.0), 401)
    assert len(rack.writes) == 2


def test_currents_that_contradict_the_active_source_leave_it_unknown(rack):
    rack.order(order(), 0.1)
    rack.see(1, "B")
    rack.see(62, "B", sources={"A": ALIVE, "B": IDLE})
    assert rack.results[0].outcome is Outcome.UNKNOWN
    assert "6.0 A flow on the other input" in rack.results[0].why


def test_one_good_reading_after_the_return_delay_is_not_enough(rack):
    rack.order(order(), 0.1)
    rack.see(1, "B")
    for second in (59, 60):
        rack.see(second, "B", doubt="meter is stale")
    rack.see(61.5, "B")
    assert rack.results == []
    rack.see(63, "B")
    assert rack.results[0].outcome is Outcome.TRANSFERRED


def test_no_reading_after_the_write_leaves_it_unknown(rack):
    rack.order(order(), 0.1)
    rack.see(4, doubt="no answer")
    rack.see(9, doubt="no answer")
    assert rack.results == []
    rack.see(10.2, doubt="no answer")
    assert rack.results[0].outcome is Outcome.UNKNOWN


def test_a_failed_write_is_named_in_the_result(rack):
    rack.order(order(), 0.1)
    told = machine.wrote(rack.safety, order(), moment(0.2), "no answer", sent=True)
    rack.safety = told[0]
    rack.see(3)
    rack.see(5.3)
    assert rack.results[0].outcome is Outcome.UNKNOWN
    assert "the write failed: no answer" in rack.results[0].why


def test_a_write_the_device_surely_refused_is_refused(rack):
    rack.order(order(), 0.1)
    rack._took(machine.wrote(rack.safety, order(), moment(0.2), "not in lab mode", sent=False))
    assert rack.results[0].outcome is Outcome.REFUSED
    assert "ats" not in rack.safety.kept.running


def test_dwell_and_hourly_cap_hold():
    rack = Rack()
    source, written = "A", []
    for n in range(40):
        start = 120.0 * n
        rack.read(reading(start), reading(start + 1)) if source == "A" else rack.read(
            reading(start, "B"), reading(start + 1, "B")
        )
        target = "B" if source == "A" else "A"
        rack.order(order(n, to=target, expires=1e6), start + 1)
        if len(rack.writes) > len(written):
            written.append(start)
            source = target
            rack.see(start + 2, source)
            rack.see(start + 63, source)
            rack.see(start + 64, source)
    assert min(b - a for a, b in pairwise(written)) >= LIMITS.dwell_s
    for first in written:
        assert sum(first <= t < first + 3600 for t in written) <= LIMITS.max_per_hour
    assert len(written) >= 3


def test_a_transfer_nobody_ordered_locks_out(rack):
    rack.see(1, "B", "A")
    assert "moved by itself from A to B" in rack.safety.problem("ats")


@pytest.mark.parametrize(
    "after",
    [
        reading(1, "B", "A", sources={"A": DEAD, "B": ALIVE}),
    ],
    ids=["its source was lost"],
)
def test_a_transfer_the_switch_is_there_for_does_not(rack, after):
    rack.read(after)
    assert rack.safety.problem("ats") == ""
    assert len(rack.safety.kept.transfers["ats"]) == 1


def test_a_preference_that_somebody_else_changed_locks_out(rack):
    rack.see(1, "B", "B")
    assert rack.safety.problem("ats") == "", "one reading may be wrong"
    rack.see(2, "B", "B")
    assert "changed from A to B by somebody else" in rack.safety.problem("ats")
    rack.safety = machine.release(rack.safety, ["ats"])
    rack.see(3, "B", "B")
    assert rack.safety.problem("ats") == ""
    assert rack.safety.settings("ats") == {"ats.commanded_source": 2.0, "ats.baseline_source": 1.0}


def test_a_restart_reads_back_and_never_writes_again(rack):
    rack.order(order(), 0.1)
    kept = persist.load(persist.dump(rack.safety.kept))
    again = Rack()
    again._took(machine.resume(kept, moment(20)))
    again.order(order(), 20)
    again.see(20.5, "B")
    again.see(81, "B")
    again.see(82, "B")
    again.order(order(), 82)
    assert again.writes == []
    assert [r.outcome for r in again.results] == [Outcome.TRANSFERRED] * 2


def test_a_restart_gives_up_what_was_only_waiting():
    rack = Rack()
    rack.order(order(), 0)
    again = Rack()
    again._took(machine.resume(persist.load(persist.dump(rack.safety.kept)), moment(1)))
    again.read(reading(2), reading(3))
    again.tick(3)
    refused(again, "restarted before acting")


def test_a_damaged_state_is_not_guessed():
    for text in ("", "{}", "[]", persist.dump(Kept(5)).replace("5", '"x"')):
        with pytest.raises(DataError, match="safety state cannot be read"):
            persist.load(text)


def states(**change):
    at = from_epoch_s(0)
    read = {"ats.active_source": 1.0, "ats.preferred_source": 1.0, "ats.phase_angle_deg": 2.0}
    meter = {"inlet.1.voltage_v": 230.0, "inlet.1.frequency_hz": 50.0, "inlet.1.current_a": 1.0}
    parts = {
        "ats": DeviceState("ats", "ats", at, Quality.GOOD, read),
        "A": DeviceState("in-a", "meter", at, Quality.GOOD, meter),
        "B": DeviceState("in-b", "meter", at, Quality.GOOD, meter),
    } | change
    return combine(parts.pop("ats"), {k: v for k, v in parts.items() if v})


def test_a_reading_combines_switch_and_input_meters():
    good = states()
    assert (good.active, good.preferred, good.doubt, good.output_a) == ("A", "A", "", 2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"B": None},
        {
            "A": DeviceState(
                "in-a", "meter", from_epoch_s(0), Quality.STALE, {"inlet.1.voltage_v": 230.0}
            )
        },
        {
            "A": DeviceState(
                "in-a", "meter", from_epoch_s(0), Quality.GOOD, {"inlet.1.voltage_v": 230.0}
            )
        },
        {
            "B": DeviceState(
                "in-b",
                "meter",
                from_epoch_s(0),
                Quality.GOOD,
                {"inlet.1.voltage_v": -1.0, "inlet.1.current_a": 0},
            )
        },
        {"ats": DeviceState("ats", "ats", from_epoch_s(0), Quality.MISSING)},
        {
            "ats": DeviceState(
                "ats", "ats", from_epoch_s(0), Quality.GOOD, {"ats.active_source": 7.0}
            )
        },
    ],
    ids=["no meter", "stale meter", "no current", "negative voltage", "no switch", "odd source"],
)
def test_a_reading_in_doubt_says_so(change):
    assert states(**change).doubt


def test_limits_take_the_rack_files_names():
    own = {"lab", "supplies", "device"}
    assert {f.name for f in fields(Limits)} - own == {f.name for f in fields(AtsSafety)}


class Technician(Rack):
    """Someone at the rack who commissions the switch."""

    def __init__(self, limits=LIMITS):
        super().__init__(Kept(), limits)
        self.read(reading(-2), reading(-1), reading(0))

    def prove(self, seconds=0.1):
        self._took(machine.prove(self.safety, "ats", "J. Doe", moment(seconds), self.limits))

    def follow(self, start, source):
        for second in (1, 61, 62, 63):
            self.see(start + second, source)


def test_commissioning_takes_a_witnessed_transfer_both_ways():
    technician = Technician()
    technician.prove()
    technician.follow(0, "B")
    technician.follow(70, "A")
    assert [(c.from_source, c.to_source) for c in technician.writes] == [("A", "B"), ("B", "A")]
    assert technician.told[-1] == f"commissioned: {IDENTITY}, witnessed by J. Doe"
    assert technician.results == [], "no coordinator asked for it"
    kept = persist.load(persist.dump(technician.safety.kept))
    assert kept.commissions["ats"].baseline == "A"
    assert kept.trials == {}
    technician.read(reading(499), reading(500))
    technician.order(order(expires=600.0), 500)
    assert len(technician.writes) == 3


def test_while_it_is_commissioned_nobody_else_commands_a_switch():
    technician = Technician()
    technician.prove()
    technician.order(order(), 0.2)
    technician.follow(0, "B")
    technician.order(order(2, to="A", expires=200.0), 65)
    assert all("busy" in r.why or "being commissioned" in r.why for r in technician.results)
    assert len(technician.results) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "Other 1.0"}, "'Other 1.0' is not on the tested list"),
        ({"sources": {"A": IDLE, "B": IDLE}}, "only 0.0 A behind the switch"),
        ({"doubt": "meter is stale"}, "meter is stale; try again"),
        ({"local": "the switch is bypassed"}, "refused: the switch is bypassed"),
    ],
    ids=["not tested", "no load", "doubt", "an interlock"],
)
def test_a_commissioning_fails(change, why):
    technician = Technician()
    technician.read(replace(reading(0.5), **change))
    technician.prove(0.6)
    assert technician.told[-1].startswith("failed: ")
    assert why in technician.told[-1]
    assert technician.writes == []
    assert technician.safety.kept.trials == {}


def test_a_commissioning_whose_switch_does_not_follow_proves_nothing():
    technician = Technician()
    technician.prove()
    for second in (1, 3, 5, 6):
        technician.see(second, "A", "B")
    assert "failed: leg 1: preference_set_not_moved" in technician.told[-1]
    assert technician.safety.kept.commissions == {}


def test_a_coordinator_cannot_pose_as_a_technician(rack):
    rack.order(order(id="commissioning/ats/1/1"), 0.1)
    refused(rack, "only a technician at the rack")


UPS = DeviceState("ups", "ups", from_epoch_s(0), Quality.GOOD, {})


@pytest.mark.parametrize(
    ("ups", "why"),
    [
        (None, "its UPS was not read"),
        (replace(UPS, quality=Quality.MISSING), "its UPS was not read"),
        (UPS, "UPS ups does not tell ups.on_battery"),
        (replace(UPS, readings={"ups.on_battery": 1.0, "ups.on_bypass": 0.0}), "is on battery"),
        (replace(UPS, readings={"ups.on_battery": 0.0, "ups.on_bypass": 1.0}), "is on bypass"),
        (replace(UPS, readings={"ups.on_battery": 0.0, "ups.on_bypass": 0.0}), ""),
    ],
)
def test_the_ups_before_a_source_must_carry_it_by_its_inverter(ups, why):
    at = from_epoch_s(0)
    ats = DeviceState("ats", "ats", at, Quality.GOOD, {})
    seen = combine(ats, {}, {"B": ups}).sources
    assert why in seen["B"].ups
    assert bool(seen["B"].ups) == bool(why)
    assert seen["A"].ups == ""


@pytest.mark.parametrize(
    ("readings", "want"),
    [
        ({}, (None, None, "")),
        ({"ats.phase_in_sync": 0.0, "ats.source.B.available": 1.0}, (False, True, "")),
        ({"ats.remote_control": 0.0}, (None, None, "remote control is off at the switch")),
        ({"ats.on_bypass": 1.0, "ats.remote_control": 1.0}, (None, None, "the switch is bypassed")),
    ],
)
def test_a_switch_has_its_own_word(readings, want):
    ats = DeviceState("ats", "ats", from_epoch_s(0), Quality.GOOD, readings)
    seen = combine(ats, {})
    assert (seen.in_phase, seen.sources["B"].available, seen.local) == want
