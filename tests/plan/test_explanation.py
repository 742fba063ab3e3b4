"""What a plan says about itself."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.plan import explain, solve

SMALL = {"servers": 36, "rack": 12, "per": 2, "feeds": 3, "movable": 60, "displaced": 10}


@pytest.fixture(scope="module")
def explained(make_room, as_instance):
    arrays = make_room(**SMALL, seed=4, tight=0.02)
    arrays["ats_cost"] = np.where(arrays["node_alt"] >= 0, 0.5, 0.0)
    instance = as_instance(arrays)
    solution = solve(instance)
    assert solution.feasible
    assert solution.ats
    return instance, solution, explain(instance, solution)


def test_each_action_tells_what_it_relieves_and_what_else_was_to_be_had(explained):
    _, solution, explanation = explained
    workloads = [action.workload for action in explanation.actions if action.workload >= 0]
    assert workloads == [workload for workload, _, _ in solution.moves]
    assert [a.ats for a in explanation.actions if a.ats >= 0] == [n for n, _, _ in solution.ats]
    useful = [action for action in explanation.actions if action.relief_w > 0]
    assert useful
    for action in useful:
        assert action.relieves in action.sentence
        assert action.instead is None or action.instead.relief_w > 0
    moves = [action for action in explanation.actions if action.workload >= 0]
    assert all("to spare" in action.destination for action in moves)
    assert sum(action.cost for action in explanation.actions) == pytest.approx(
        solution.cost, abs=0.1
    )


def test_nodes_at_risk_are_told_before_and_after(explained):
    instance, solution, explanation = explained
    placed, source = instance.wl_server.copy(), instance.ats_source.copy()
    for workload, server, _ in solution.moves:
        placed[workload] = server
    for node, side, _ in solution.ats:
        source[node] = side
    loads = Loads(instance)
    before_w, after_w = loads.evaluate(), loads.evaluate(placed, source)
    case = {-1: 0} | {int(n): 1 + j for j, n in enumerate(instance.contingency)}
    assert explanation.nodes[0].before_w > explanation.nodes[0].limit_w
    for node in explanation.nodes:
        at = case[node.lost], node.node, node.step
        assert node.before_w == pytest.approx(before_w[at], abs=0.06)
        assert node.after_w == pytest.approx(after_w[at], abs=0.06)
        assert node.after_w <= node.limit_w + 0.1
        assert (node.p_after < node.p_before) == (node.after_w < node.before_w)


def test_it_says_why_now_in_a_sentence_and_is_machine_readable(explained):
    instance, solution, explanation = explained
    assert f"within {instance.lead_s:.0f} s" in explanation.why_now
    assert f"{solution.makespan_s:.0f} s" in explanation.why_now
    assert f"{len(solution.moves)} moves" in explanation.sentence
    assert "because" in explanation.sentence
    assert json.loads(json.dumps(asdict(explanation)))["nodes"]


def test_nothing_to_do_is_explained_too(make_room, as_instance):
    arrays = make_room(**SMALL)
    arrays["wl_server"][arrays["planted_wl"]] = arrays["planted_to"]
    instance = as_instance(arrays)
    explanation = explain(instance, solve(instance))
    assert "nothing to do" in explanation.sentence
    assert "no hurry" in explanation.why_now
    assert explanation.actions == ()
