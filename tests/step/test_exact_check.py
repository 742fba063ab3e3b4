"""What only the exact judgement sees: amperes, overloads that stand already, steps, losses."""

import re
from dataclasses import replace
from datetime import timedelta

import decision_room as room
import numpy as np
import pytest

from wattcast_configs.control import Decision
from wattcast_configs.curves import load_curves
from wattcast_configs.files import load_site
from wattcast_configs.power import Rating
from wattcast_configs.site import Feed, Pdu, Server, Site, Workload
from wattcast_configs.sites import BUILT_IN
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.plan import Solution
from wattcast_coordinator.ports import AdoptPlan, OfferShedList, RaiseEvent
from wattcast_coordinator.risk.judgement import balanced_limits, judge_room
from wattcast_coordinator.risk.violations import consequences, trip_times_s, violations
from wattcast_coordinator.step import State, planning
from wattcast_coordinator.step.context import Context
from wattcast_coordinator.step.cycle import standing


def three_lines():
    """Two racks on three feeds; the servers of a rack on one line each of three-line rack PDUs.

    The neutrals bear half of what the lines do: no limit in watts can know that.
    """
    pdus = [
        Pdu(f"r{r}-{f}", f"r{r}", f, rating=Rating(a=16.0, neutral_a=8.0), lines=3)
        for r, pair in enumerate(("AB", "BC"))
        for f in pair
    ]
    servers = [
        Server(f"r{r}s{s}", f"r{r}", (f"r{r}-{a}:L{s + 1}", f"r{r}-{b}:L{s + 1}"), (0.5, 0.5),
               100.0, 1600.0, engine="http://x")
        for r, (a, b) in enumerate(("AB", "BC"))
        for s in range(3)
    ]  # fmt: skip
    workloads = [
        Workload(f"w{r}{s}{i}", f"r{r}s{s}", "app", movable=True, cpu=0.3, state_gib=0.5)
        for r in range(2)
        for s in range(3)
        for i in range(3)
    ]
    feeds = tuple(Feed(f, 20e3, 20e3) for f in "ABC")
    return Site("lines", feeds, tuple(pdus), tuple(servers), (), tuple(workloads),
                curve=tuple(load_curves().values()))  # fmt: skip


def context(site, watts=300.0, spread_w=0.1):
    simulated = room.Room(site, watts=lambda w, at: watts, spread_w=spread_w)
    inputs, decision = simulated.inputs(), Decision()
    graph = simulated.graph
    problem = build(graph, inputs, decision, standing(State(), inputs, graph, decision))
    judged = judge_room(graph, problem.evidence, frozenset())
    return Context(graph, inputs, decision, problem, judged)


def test_a_plan_within_watts_that_crowds_one_line_fails_the_exact_check():
    here = context(three_lines())
    assert here.judged.over() == []
    crowd = [here.problem.workloads.index(f"w0{s}{i}") for s in (1, 2) for i in range(3)]
    target = here.graph.server["r0s0"]
    plan = Solution(tuple((w, target, 0.0) for w in crowd), (), 60.0, True, 0.0, 0.0, 1.0, ())
    why = planning._worsened(planning._Found(plan, here.problem.instance), here)
    assert re.search(r"r0-[AB] N( after the loss of [AB])? would carry [\d.]+ A of 8.0 A", why)
    nothing = Solution((), (), 0.0, True, 0.0, 0.0, 0.0, ())
    assert planning._worsened(planning._Found(nothing, here.problem.instance), here) == ""


def test_such_a_plan_is_refused_with_its_reason(monkeypatch):
    here = context(three_lines(), watts=1500.0)
    assert here.judged.over()
    crowd = [here.problem.workloads.index(f"w1{s}{i}") for s in (1, 2) for i in range(3)]
    target = here.graph.server["r0s0"]
    bad = Solution(tuple((w, target, 0.0) for w in crowd), (), 60.0, True, 100.0, 0.0, 1.0, ())
    monkeypatch.setattr(planning, "solve", lambda *args, **options: bad)
    found = violations(here.judged, here.problem.evidence, here.now)
    _, effects = planning.respond(State(), found, here)
    assert not any(isinstance(e, AdoptPlan) for e in effects)
    texts = [e.text for e in effects if isinstance(e, RaiseEvent)]
    assert any("the plan found fails the exact check: r0-" in text for text in texts)


def test_limits_in_watts_follow_the_worst_line():
    site = three_lines()
    even = context(site)
    same = balanced_limits(even.judged, even.problem.instance)
    node = even.graph.node["r0-A"]
    assert same.limit_base_w[node] == pytest.approx(
        even.problem.instance.limit_base_w[node], rel=1e-3
    )
    heavy = replace(site, workload=tuple(replace(w, server=f"r{w.id[1]}s0") for w in site.workload))
    uneven = context(heavy)
    lowered = balanced_limits(uneven.judged, uneven.problem.instance)
    amps, judged = uneven.judged.amps, uneven.judged
    here = (amps.case == 0) & (amps.node == node)
    used = float(amps.used()[here].item())
    load_w = judged.single.base.quantile_w(judged.single.limits.z_base)[node].max()
    assert load_w / lowered.limit_base_w[node] == pytest.approx(used)
    assert lowered.limit_base_w[node] < 0.75 * same.limit_base_w[node]


def test_amperes_over_a_limit_are_told_in_amperes():
    found = context(three_lines(), watts=1500.0)
    over = violations(found.judged, found.problem.evidence, found.now)
    line = next(v for v in over if v.line.startswith("L"))
    assert line.load_a > line.limit_a == pytest.approx(16.0)
    assert line.load_w / line.limit_w == pytest.approx(line.load_a / line.limit_a)


def test_a_node_over_its_limit_already_is_due_at_once_and_says_when_it_trips():
    curves = tuple(load_curves().values())
    site = replace(room.site(limit_w=600.0, limit_n1_w=700.0), curve=curves)
    here = context(site, watts=60.0)
    over = violations(here.judged, here.problem.evidence, here.now)
    now_over = [v for v in over if not v.contingency]
    assert {v.node for v in now_over} == {"A", "B", "C"}
    assert all(v.at - here.now == timedelta(seconds=300) for v in now_over)
    trips_s = trip_times_s(here.judged, here.problem.evidence)
    assert trips_s["A", ""] < 600.0
    assert trips_s["B", "A"] <= trips_s["B", ""], "after a loss it trips no later"


def test_a_server_that_its_ratings_may_not_carry_on_one_cord_is_named():
    site = room.site(limit_w=600.0, limit_n1_w=700.0)
    weak = replace(site.server[0], psu_w=200.0)  # draws 220 W
    thin = replace(site.server[1], cord_a=0.5)  # 98 W a cord
    here = context(replace(site, server=(weak, thin, *site.server[2:])), watts=60.0)
    ends = consequences(here.judged, here.problem.evidence, ["A", "C"])
    assert ends["A"].unproven == ("r0s0", "r0s1")
    assert ends["C"].unproven == (), "both keep their cords"


def test_the_shed_list_of_a_loss_is_offered_the_moment_that_it_comes():
    curves = tuple(load_curves().values())
    site = replace(room.site(limit_w=1400.0, limit_n1_w=1400.0, mode="observe"), curve=curves)
    simulated = room.Room(site, watts=room.ramp(rise_w=6.0, top_w=150.0))
    state, _ = simulated.run(14)
    prepared = {e.contingency: e for e in state.episodes if e.shed}
    assert prepared.keys() >= {"A", "B", "C"}
    assert all(e.shed_s == 30.0 and e.trip_s is not None for e in prepared.values())
    simulated.dark = {"A"}
    state, effects = simulated.run(2, state)
    offer = next(e for e in effects if isinstance(e, OfferShedList))
    assert offer.workloads == prepared["A"].shed
    assert "feed A is lost, as prepared for; the first trip comes after" in offer.why


def test_a_jump_beyond_all_forecasts_is_called_that():
    site = room.site(limit_w=1100.0, limit_n1_w=1300.0, mode="observe")
    level = {"w": 50.0}
    simulated = room.Room(site, watts=lambda w, at: level["w"], spread_w=2.0)
    state, calm = simulated.run(6)
    assert not any("no forecast could know" in getattr(e, "text", "") for e in calm)
    level["w"] = 95.0
    state, effects = simulated.run(1, state)
    texts = [e.text for e in effects if isinstance(e, RaiseEvent) and "forecast" in e.kind]
    assert texts
    assert all("stepped up within one step: no forecast could know" in text for text in texts)
    _, after = simulated.run(3, state)
    assert not any("no forecast could know" in getattr(e, "text", "") for e in after)


@pytest.mark.parametrize("name", ["europe_3n2", "america_2n"])
def test_the_live_loop_takes_a_whole_room_up_to_the_utility(name):
    site = load_site(BUILT_IN / f"{name}.toml")
    first = site.server[0]
    hosts = tuple(replace(s, engine="http://x", full_w=2000.0) for s in site.server)
    heavy = tuple(
        Workload(f"w0{i}", first.id, "app", movable=True, cpu=0.1, state_gib=0.1) for i in range(8)
    )
    feeds = tuple(replace(f, mode="automatic") for f in site.feed)
    site = replace(site, server=hosts, workload=heavy, feed=feeds)
    # A line of the first rack's PDU fills up until the loss of the other feed would overload it.
    simulated = room.Room(site, watts=lambda w, at: 100.0 + 40.0 * max(0, at - 4), spread_w=1.0)
    state, effects = simulated.run(16)
    told = [e.text for e in effects if isinstance(e, RaiseEvent) and e.kind == "n1_forecast"]
    assert any(re.search(r"A of [\d.]+ A on [LN]", text) for text in told), told
    assert any(isinstance(e, AdoptPlan) and e.plan.moves for e in effects)
    graph = simulated.graph
    problem = build(graph, simulated.inputs(), Decision(),
                    standing(state, simulated.inputs(), graph, Decision())).instance  # fmt: skip
    switches = (graph.alt >= 0) & (np.array(graph.words) != "ATS")
    assert switches.any()
    assert np.isinf(problem.ats_cost[switches]).all(), "only rack switches are ever commanded"
