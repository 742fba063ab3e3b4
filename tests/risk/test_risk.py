from datetime import timedelta

import decision_room as room
import pytest

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.risk.judgement import judge_room
from wattcast_coordinator.risk.shed import shed_list
from wattcast_coordinator.risk.violations import violations


def laid_out(site, rise_w=0.0, level_w=60.0):
    simulated = room.Room(site, watts=lambda w, at: level_w + rise_w * at, spread_w=0.01)
    inputs = simulated.inputs()
    return room.build(site), build(room.build(site), inputs, Decision(), Standing()), inputs.now


def found_in(graph, problem, now):
    judged = judge_room(graph, problem.instance, frozenset())
    return violations(judged, problem.instance, now)


def test_a_risk_names_node_loss_time_and_probability():
    # 12 servers of 220 W, 3 appliances of 50 W, all ATS on their first source: 930 W a feed.
    graph, problem, now = laid_out(room.site(limit_n1_w=1e4, limit_w=1200.0), rise_w=3.0)
    found = found_in(graph, problem, now)
    assert [v.node for v in found] == ["A", "B", "C"]
    assert {v.contingency for v in found} == {""}
    # 24 workloads rise 3 W a step: 24 W a feed and step; 270 W of headroom are used up in 11.25.
    assert found[0].at - now == timedelta(seconds=12 * 300)
    assert found[0].probability > 0.99


def test_losses_are_judged_against_the_emergency_limit():
    graph, problem, now = laid_out(room.site(limit_w=1e4, limit_n1_w=1400.0))
    found = found_in(graph, problem, now)
    assert {(v.contingency, v.node) for v in found} >= {("A", "B"), ("B", "C"), ("C", "A")}
    assert all(v.limit_w == 1400.0 and v.contingency for v in found)


def test_shedding_takes_the_least_critical_and_just_enough():
    graph, problem, _ = laid_out(room.site(limit_w=900.0, limit_n1_w=1e4))
    shed = shed_list(judge_room(graph, problem.instance, frozenset()), problem)
    crit = {w.id: w.criticality for w in graph.site.workload}
    order = [crit[name] for name in shed.workloads]
    assert shed.excess_before_w > 0
    assert shed.excess_after_w == pytest.approx(0, abs=1e-3)
    assert order == sorted(order)
    assert 0 < len(order) < 10


def test_shedding_says_what_remains_when_idle_power_alone_is_too_much():
    graph, problem, _ = laid_out(room.site(limit_w=300.0, limit_n1_w=1e4))
    shed = shed_list(judge_room(graph, problem.instance, frozenset()), problem)
    assert len(shed.workloads) == len(graph.workloads)
    assert shed.excess_after_w > 100


def test_a_safe_room_sheds_nothing():
    graph, problem, now = laid_out(room.site())
    assert not found_in(graph, problem, now)
    assert shed_list(judge_room(graph, problem.instance, frozenset()), problem).workloads == ()
