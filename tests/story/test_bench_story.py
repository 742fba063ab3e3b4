"""The benchmark's own days: the live decision core against the room's truth, without sockets."""

import pytest

from wattcast_tools import bench_story

CALM, DRIFTING = 11, 2


@pytest.fixture(scope="module")
def drifting():
    return bench_story.one_day(DRIFTING)


@pytest.mark.slow
def test_a_quiet_day_is_left_alone():
    day = bench_story.one_day(CALM)
    assert day["no_control"]["overload_minutes"] == 0
    assert day["onset_s"] is None
    assert day["wattcast"]["moves"] + day["wattcast"]["transfers"] == 0
    assert not day["false_alarm"]


@pytest.mark.slow
def test_what_would_overload_and_trip_without_control_is_averted(drifting):
    assert drifting["no_control"]["overload_minutes"] > 0
    assert drifting["no_control"]["tripped"]
    ours = drifting["wattcast"]
    assert ours["overload_minutes"] == 0
    assert not ours["tripped"]
    assert ours["dark_servers"] == 0
    assert ours["n1_violation_minutes_after_plan"] == 0
    assert ours["moves"] > 0


@pytest.mark.slow
def test_the_alarm_comes_before_the_room_is_in_danger(drifting):
    assert drifting["first_alarm_s"] < drifting["onset_s"]
    assert not drifting["missed_onset"]


@pytest.mark.slow
def test_served_forecasts_are_counted_by_forecaster_and_most_are_the_lstms(drifting):
    assert set(drifting["forecasts"]) <= {"lstm", "naive"}
    assert drifting["forecasts"]["lstm"] > 0.9 * 20 * 39
    assert sum(drifting["forecasts"].values()) == 20 * 39


def _figures(overload=0.0, insecure=0.0, moves=0, transfers=0):
    return {
        "overload_minutes": overload,
        "n1_violation_minutes": insecure,
        "moves": moves,
        "transfers": transfers,
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "result"),
    [
        (_figures(overload=1), _figures(insecure=50, moves=9), "loss"),
        (_figures(insecure=1), _figures(insecure=2), "win"),
        (_figures(insecure=1.0, moves=3), _figures(insecure=1.3, moves=2), "loss"),
        (_figures(moves=2, transfers=1), _figures(moves=3), "tie"),
    ],
    ids=["overload first", "then N-1", "half a minute is equal", "then interruptions"],
)
def test_a_day_is_decided_by_safety_first(ours, theirs, result):
    assert bench_story.compare(ours, theirs) == result
