"""Answers against what the decision core itself would see in that room."""

from dataclasses import replace

import pytest

from wattcast_configs.curve import Curve, Variant
from wattcast_configs.power import Derate, Rack, Rating
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.risk.judgement import judge_room
from wattcast_coordinator.study.changes import Add, Ambient, Lose, extended, parse
from wattcast_coordinator.study.recording import never_measured
from wattcast_coordinator.study.whatif import AS_IS, NO, WITH_PLAN, ask
from wattcast_coordinator.topology import graph as graphs
from wattcast_core.errors import ConfigError, Refused

ROOMY = {"limit_w": 3000.0, "limit_n1_w": 3000.0}


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("lose feed A", [Lose("A")]),
        ("Lose r0-B", [Lose("r0-B")]),
        ("lose rack PDU r1-C", [Lose("r1-C")]),
        ("lose feed A and feed B", [Lose("A"), Lose("B")]),
        ("lose a, r0-B and C", [Lose("A"), Lose("r0-B"), Lose("C")]),
        ("add 20 servers to rack r1", [Add(20, "r1")]),
        ("add 1 server to 1", [Add(1, "r1")]),
        ("ambient 38", [Ambient(38.0)]),
        ("ambient 38.5 °C", [Ambient(38.5)]),
    ],
)
def test_changes_are_understood_as_people_say_them(record, text, change):
    assert list(parse(text, graphs.build(record().site))) == change


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("lose feed Z", "'lose feed Z': 'feed Z' is not in the site; known: A, B, C"),
        ("lose A and r0-D", "did you mean 'r0-"),
        ("lose and", "'and' is not in the site"),
        ("add 20 servers to rack 99", "rack '99' is not in the site; known: r0, r1, r2"),
        ("add 0 servers to rack r1", "add 1 to"),
        ("make it colder", "say e.g. 'lose feed A'"),
        ("ambient 400", "400 C is no air temperature"),
    ],
)
def test_what_is_not_understood_is_told_with_examples(record, text, match):
    with pytest.raises(ConfigError, match=match):
        ask(record(), [text])


def test_losing_a_feed_puts_its_load_where_the_decision_core_says(record):
    made = record(**ROOMY)
    answer = ask(made, ["lose feed A"])
    assert answer.holds == AS_IS
    graph = graphs.build(made.site)
    lost = Standing(lost=frozenset("A"), ats={a.id: 0 for a in made.site.ats})
    judged = judge_room(graph, build(graph, made.inputs, made.decision, lost).instance,
                        frozenset("A"))  # fmt: skip
    mean_w = judged.single.base.mean_w[:, 0]
    after = {h.feed: h for h in answer.after}
    assert set(after) == {"B", "C"}
    for feed, head in after.items():
        # The continuous quantile of the same sum: a little above its mean.
        assert mean_w[graph.node[feed]] < head.load_w < 1.1 * mean_w[graph.node[feed]]
    total = sum(h.load_w for h in answer.before)
    assert sum(h.load_w for h in answer.after) == pytest.approx(total, rel=0.02)
    assert any("would leave 5 servers dark" in line for line in answer.next_losses)


def test_what_is_over_after_the_loss_is_named_with_what_to_switch_off(record):
    answer = ask(record(limit_w=1200.0, limit_n1_w=1250.0), ["lose feed A"])
    assert answer.holds == NO
    assert any(line.startswith("feed B") for line in answer.over)
    assert answer.refused
    assert answer.shed


def test_a_plan_that_helps_in_time_is_told(record):
    made = record(limit_w=1600.0, limit_n1_w=2000.0, watts=hot_rack)
    answer = ask(made, ["add 1 server to rack r0"])
    assert answer.holds == WITH_PLAN
    assert answer.moves
    assert answer.over
    assert not answer.refused


def hot_rack(workload, _step):
    return 80.0 if workload[1] == "0" else 60.0


def test_servers_on_a_lost_pdu_and_nothing_else_are_told_to_go_dark(record):
    made = record(**ROOMY)
    one = made.site.server[0]
    alone = replace(made.site, server=(replace(one, cords=(one.cords[0],), shares=(1.0,)),
                                       *made.site.server[1:]))  # fmt: skip
    answer = ask(replace(made, site=alone), [f"lose {one.cords[0]}"])
    assert answer.dark == (one.id,)
    assert answer.holds == NO
    a, b, c = made.site.feed
    tight = replace(alone, feed=(a, replace(b, limit_w=900.0, limit_n1_w=900.0), c))
    answer = ask(replace(made, site=tight), [f"lose {one.cords[0]}"])
    assert answer.dark == (one.id,)
    assert answer.over


def test_new_servers_are_wired_like_their_rack_and_counted_at_full_power(record):
    made = record(**ROOMY)
    full = extended(made, Add(3, "r1"), like_neighbours=False)
    new = full.site.server[-3:]
    patterns = [s.cords for s in made.site.server if s.rack == "r1"]
    assert [s.cords for s in new] == patterns[:3]
    answer = ask(made, ["add 3 servers to rack r1"])
    more = sum(h.load_w for h in answer.after) - sum(h.load_w for h in answer.before)
    assert more == pytest.approx(sum(s.full_w for s in new), rel=0.02)
    assert any("at full power" in note and "fit into rack r1" in note for note in answer.notes)


def test_the_number_that_fits_is_the_largest_that_does(record):
    made = record(limit_w=1700.0, limit_n1_w=2100.0)
    (note,) = [n for n in ask(made, ["add 1 server to r1"]).notes if n.startswith("at full power")]
    most = int(note.split()[3])
    assert 0 < most < 50
    assert ask(made, [f"add {most} servers to r1"]).holds == AS_IS
    assert ask(made, [f"add {most + 1} servers to r1"]).holds != AS_IS


def test_several_changes_are_asked_together(record):
    made = record(**ROOMY)
    both = ask(made, ["lose feed A", "add 2 servers to rack r0"])
    alone = ask(made, ["lose feed A"])
    assert sum(h.load_w for h in both.after) > sum(h.load_w for h in alone.after) + 300


def test_two_losses_leave_what_the_third_feed_carries(record):
    made = record(**ROOMY)
    both = ask(made, ["lose A and B"])
    assert both.holds == NO
    graph = graphs.build(made.site)
    assert set(both.dark) == {s for s in graph.servers if graph.feeds_of(s) <= {"A", "B"}}
    assert [h.feed for h in both.after] == ["C"]
    assert both.after == ask(made, ["lose A", "lose feed B"]).after


def test_warmth_is_refused_where_the_site_file_says_nothing_of_it(record):
    with pytest.raises(Refused, match="by_ambient"):
        ask(record(), ["ambient 38"])


def derated(made):
    """Rack PDUs of 8 A that bear nine tenths of it at 40 degC."""
    hot = Derate("test", by_ambient=((30.0, 1.0), (40.0, 0.9)))
    rating = Rating(a=8.0, derate=(hot,))
    pdus = tuple(replace(p, rating=rating, limit_w=0.0, limit_n1_w=0.0) for p in made.site.pdu)
    return replace(made, site=replace(made.site, pdu=pdus))


def test_warmth_lowers_limits_by_the_derating_of_the_site_file(record):
    made = derated(record(**ROOMY))
    cool, warm = (ask(made, [f"ambient {celsius}"]) for celsius in (25, 35))
    assert any("no limit is lower" in note for note in cool.notes)
    full_w = 8.0 * 230 * 0.9 * 0.95
    lower = f"{0.95 * full_w:.0f} W instead of {full_w:.0f} W"
    assert any(lower in note for note in warm.notes)
    with pytest.raises(Refused, match="test ends at 40 C"):
        ask(made, ["ambient 41"])


def test_warm_inlets_leave_racks_no_room_for_more_heat(record):
    made = record(limit_w=1600.0, limit_n1_w=2000.0, watts=hot_rack)
    racks = tuple(Rack(name, cooling_w=5000.0) for name in ("r0", "r1", "r2"))
    cooled = replace(made, site=replace(made.site, rack=racks))
    added = "add 1 server to rack r0"
    assert ask(cooled, [added]).moves
    assert not ask(cooled, [added, "ambient 38"]).moves


def test_warmth_shortens_the_time_to_trip_where_the_curve_knows_it(record):
    points = ((1.05, 600.0), (1.5, 60.0))
    hot = ((1.0, 300.0), (1.5, 6.0))
    variants = (Variant(points, "line", 30.0), Variant(hot, "line", 45.0))
    curve = Curve("table", "off", "test", variants, "ups")
    made = record(limit_w=1200.0, limit_n1_w=1250.0)
    feeds = tuple(replace(f, curve="ups") for f in made.site.feed)
    made = replace(made, site=replace(made.site, feed=feeds, curve=(curve,)))

    def soonest(answer):
        return min(float(t.split()[-2]) for t in answer.trips if t.endswith(" s"))

    cool = ask(made, ["lose feed A"])
    warm = ask(made, ["lose feed A", "ambient 38"])
    assert soonest(warm) < soonest(cool)
    assert any("38 C" in note for note in warm.notes)


def test_a_site_alone_is_answered_at_nameplate_and_says_so(record):
    made = never_measured(record(**ROOMY).site, record().inputs.now)
    answer = ask(made, ["lose feed A"])
    assert answer.notes[0] == "nothing was measured: every server counts with its full power"
    assert sum(h.load_w for h in answer.before) >= sum(s.full_w for s in made.site.server)
