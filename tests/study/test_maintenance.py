"""Windows judged on a week's hours; nights of this room draw less than its days."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from wattcast_coordinator.study.days import hour_floor
from wattcast_coordinator.study.judged import judge
from wattcast_coordinator.study.maintenance import _ahead, _standing, decide
from wattcast_coordinator.study.recording import Past, never_measured
from wattcast_coordinator.study.window import parse
from wattcast_coordinator.topology import graph as graphs
from wattcast_core.errors import ConfigError

ROOMY = {"limit_w": 3000.0, "limit_n1_w": 4000.0}
NIGHT = {"limit_w": 1300.0, "limit_n1_w": 2500.0}  # one feed less is borne by night only
AT_NIGHT, BY_DAY = "A 2026-01-06T01:00/05:00", "A 2026-01-06T10:00/14:00"


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("UPS-A 2026-12-01T02:00/06:00", "2026-12-01T02:00", "2026-12-01T06:00"),
        ("UPS-A 2026-12-01T22:00/06:00", "2026-12-01T22:00", "2026-12-02T06:00"),
        ("feed A 2026-12-01T02:00+01:00/06:00", "2026-12-01T01:00", "2026-12-01T05:00"),
        ("A 2026-12-01T02:00 / 2026-12-03T02:00", "2026-12-01T02:00", "2026-12-03T02:00"),
    ],
)
def test_a_window_is_understood_as_people_write_it(text, begin, end):
    window = parse(text)
    assert (window.begin, window.end) == (at(begin), at(end))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("UPS-A tonight", "is not understood"),
        ("UPS-A 2026-12-01/ten", "'ten' is no time"),
        ("UPS-A 2026-12-01T02:00/25:00", "no time of day"),
        ("UPS-A 2026-12-01T02:00/2026-11-30T02:00", "ends before it begins"),
    ],
)
def test_a_window_that_is_not_understood_is_told_with_an_example(text, match):
    with pytest.raises(ConfigError, match=match):
        parse(text)


def test_a_roomy_room_goes_and_stands_on_one_path_meanwhile(record):
    decided = decide(record(**ROOMY), parse(BY_DAY))
    assert decided.go
    assert not decided.before
    assert decided.latest_return is None
    assert "the further loss of B would leave 5 servers dark" in decided.bare


def test_the_outage_puts_the_load_where_a_loss_would(record):
    made = record(**ROOMY)
    decided = decide(made, parse(BY_DAY))
    graph = graphs.build(made.site)
    inputs, decision = _ahead(made, at("2026-01-06T10:00"), 4)
    standing = _standing(made, graph)
    whole = judge(graph, inputs, decision, standing)
    after = {h.feed: h for h in decided.headroom}
    lost_a = {
        graph.nodes[node]: whole.room.single.rows.quantile_w(whole.room.single.limits.z_base)[row]
        for row, (case, node) in enumerate(
            zip(whole.room.single.matrices.case, whole.room.single.matrices.node, strict=True)
        )
        if whole.room.room.contingencies[case - 1].name == "A"
    }
    for feed in "BC":
        assert after[feed].load_w == pytest.approx(lost_a[feed].max())


def test_day_is_refused_night_is_not_and_the_better_begin_is_told(record):
    made = record(**NIGHT)
    by_day = decide(made, parse(BY_DAY))
    assert not by_day.go
    assert by_day.against[0].startswith("feed B: ")
    assert by_day.latest_return is None
    assert {begin.hour for begin in by_day.other_begins} <= {0, 1, 2}
    assert by_day.other_begins
    assert decide(made, parse(AT_NIGHT)).go


def test_the_latest_safe_return_is_the_first_hour_that_would_not_be_borne(record):
    decided = decide(record(**NIGHT), parse(AT_NIGHT))
    assert decided.latest_return == at("2026-01-06T06:00")  # when the day begins
    assert "A cannot be back by 2026-01-06 06:00 UTC" in decided.abort
    assert any(line.startswith("feed B above") for line in decided.abort)


def hot_rack(workload, _step):
    return 100.0 if workload[1] == "0" else 40.0


def test_moves_before_make_a_window_possible_and_are_undone_after_it(record):
    made = record(watts=hot_rack, shape=lambda _: 1.0, limit_w=1600.0, limit_n1_w=3500.0)
    decided = decide(made, parse(BY_DAY))
    assert decided.go
    assert {(m.source[:2], m.target[:2]) for m in decided.before} == {("r0", "r2")}
    there = [(m.workload, m.source, m.target) for m in decided.before]
    assert [(m.workload, m.target, m.source) for m in reversed(decided.after)] == there
    assert all(h.left_w >= 0 for h in decided.headroom)
    assert not decide(made, parse("A 2026-01-06T02:00/03:00")).other_begins  # every hour is alike


def test_a_further_loss_may_be_left_out_of_it_and_that_is_told(record):
    made = record(limit_w=2000.0, limit_n1_w=1750.0)
    asked = parse(BY_DAY)
    strict = decide(made, asked)
    assert not strict.go
    assert all("after the loss of" in line for line in strict.against)
    loose = decide(made, asked, next_loss=False)
    assert loose.go
    assert "a further loss during the window is not judged" in loose.notes


def test_servers_on_the_one_path_only_are_a_reason_against(record):
    made = record(**ROOMY)
    one = made.site.server[0]
    alone = replace(one, cords=(one.cords[0],), shares=(1.0,))
    made = replace(made, site=replace(made.site, server=(alone, *made.site.server[1:])))
    decided = decide(made, parse(BY_DAY))
    assert not decided.go
    assert decided.against[0].startswith(f"{one.id} would go dark")


def test_a_site_alone_is_judged_at_nameplate_and_says_so(record):
    made = record(**ROOMY)
    decided = decide(never_measured(made.site, made.inputs.now), parse(BY_DAY))
    assert "every server counts with its full power" in decided.notes[0]
    full_w = sum(s.full_w for s in made.site.server)
    assert sum(h.load_w for h in decided.headroom) >= full_w


def test_a_room_that_was_measured_for_hours_only_says_so(record):
    made = record(**ROOMY)
    hours = {name: series[-5:] for name, series in made.past.mean_w.items()}
    short = Past(hour_floor(made.inputs.now) - timedelta(hours=5), hours, hours)
    decided = decide(replace(made, past=short), parse(BY_DAY))
    assert decided.notes[0].startswith("less than 2 days were measured")


def test_a_server_new_to_the_room_counts_with_full_power_and_is_named(record):
    made = record(**ROOMY)
    name = made.site.server[0].id
    past = replace(made.past, mean_w={k: v for k, v in made.past.mean_w.items() if k != name})
    decided = decide(replace(made, past=past), parse(BY_DAY))
    assert any(note.endswith(f"full power: {name}") for note in decided.notes)


def test_the_past_and_unknown_elements_are_refused(record):
    made = record()
    with pytest.raises(ConfigError, match="lies before the recording's time"):
        decide(made, parse("A 2025-12-01T02:00/06:00"))
    with pytest.raises(ConfigError, match="'UPS-A' is not in the site"):
        decide(made, parse("UPS-A 2026-12-01T02:00/06:00"))


def test_a_longer_window_is_never_easier(record):
    made = record(**NIGHT)
    begin = at("2026-01-06T01:00")
    went = [
        decide(made, replace(parse(AT_NIGHT), end=begin + timedelta(hours=h))).go for h in (2, 5, 8)
    ]
    assert went == sorted(went, reverse=True)
    assert went[0]
    assert not went[-1]
