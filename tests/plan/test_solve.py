"""Plans before the judge."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.plan import solve

SMALL = {"servers": 36, "rack": 12, "per": 2, "feeds": 3, "movable": 60}
ROOMS = {
    "1000 servers": {"servers": 1000, "movable": 1000, "tight": 0.01, "seed": 1},
    "tight": {
        "servers": 600,
        "movable": 600,
        "displaced": 60,
        "tight": 0.005,
        "bw": 128.0,
        "seed": 2,
    },
    "few movable": {
        "servers": 500,
        "movable": 80,
        "displaced": 60,
        "tight": 0.005,
        "bw": 128.0,
        "seed": 3,
    },
    "three feeds": {"servers": 200, "feeds": 3, "movable": 200, "tight": 0.01, "seed": 4},
    "small": SMALL | {"displaced": 10, "seed": 3},
}


def limited(rounds):
    """A deadline after so many rounds of search: tests read no clock."""
    left = iter(range(rounds))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("options", ROOMS.values(), ids=ROOMS.keys())
def test_the_judge_accepts_the_plan_and_its_cost(make_room, as_instance, verdict, options):
    arrays = make_room(**options)
    solution = solve(as_instance(arrays), deadline=limited(20))
    judged = verdict(arrays, solution)
    assert solution.feasible, solution.why
    assert judged["ok"], judged["errors"]
    assert judged["before"] > 0
    assert solution.cost == pytest.approx(judged["cost"], abs=0.02)
    assert solution.makespan_s == pytest.approx(judged["makespan_s"], abs=0.1)
    assert solution.excess_before_w > solution.excess_after_w == 0


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10_000),
    displaced=st.integers(4, 20),
    feeds=st.integers(2, 4),
    squeeze=st.floats(0.9, 1.0),
    lead=st.sampled_from([150.0, 300.0, 1000.0, 1500.0]),
)
def test_no_plan_is_ever_worse_than_doing_nothing(  # noqa: PLR0917 - five of them are drawn
    make_room, as_instance, verdict, seed, displaced, feeds, squeeze, lead
):
    options = SMALL | {"feeds": feeds, "displaced": displaced, "tight": 0.005, "lead": lead}
    arrays = make_room(**options, seed=seed)
    arrays["limit_n1_w"] = arrays["limit_n1_w"] * squeeze
    solution = solve(as_instance(arrays), deadline=limited(20))
    judged = verdict(arrays, solution)
    assert judged["ok"] or not solution.feasible
    patient = arrays | {"lead_s": np.asarray(12 * 300.0)}
    assert verdict(patient, solution)["ok"]
    assert solution.makespan_s <= lead
    assert solution.excess_after_w <= solution.excess_before_w


def test_two_feeds_cannot_be_cured_and_the_reason_is_named(make_room, as_instance):
    arrays = make_room(**SMALL | {"feeds": 2, "displaced": 4})
    roots = arrays["node_parent"] < 0
    arrays["limit_n1_w"] = np.where(roots, arrays["limit_n1_w"] * 0.9, arrays["limit_n1_w"])
    solution = solve(as_instance(arrays), deadline=limited(20))
    assert not solution.feasible
    assert "conservation" in solution.why[0]


def test_a_room_within_its_limits_is_left_alone(make_room, as_instance):
    arrays = make_room(**SMALL)
    arrays["wl_server"][arrays["planted_wl"]] = arrays["planted_to"]
    solution = solve(as_instance(arrays))
    assert solution.feasible
    assert (solution.moves, solution.ats, solution.cost) == ((), (), 0)


@pytest.mark.parametrize("limit", ["max_parallel", "max_parallel_server", "max_parallel_rack"])
def test_parallel_limits_hold(make_room, as_instance, verdict, limit):
    arrays = make_room(**SMALL | {"displaced": 10, "tight": 0.02, "seed": 1})
    arrays[limit] = np.asarray(1 if limit != "max_parallel_rack" else 2)
    solution = solve(as_instance(arrays), deadline=limited(20))
    judged = verdict(arrays, solution)
    assert solution.feasible
    assert judged["ok"], judged["errors"]


def test_a_transfer_is_chosen_where_nothing_may_move(make_room, as_instance, verdict):
    arrays = make_room(**SMALL | {"displaced": 4, "seed": 5})
    arrays["wl_server"][arrays["planted_wl"]] = arrays["planted_to"]
    arrays["wl_movable"] = np.zeros_like(arrays["wl_movable"])
    loads = Loads(as_instance(arrays))
    arrays["limit_base_w"] = loads.evaluate()[0].max(1) + 1.0
    cords = arrays["server_cord"][:, 0]
    ats = cords[arrays["node_alt"][cords] >= 0][0]
    arrays["ats_source"][ats] = 1 - arrays["ats_source"][ats]
    solution = solve(as_instance(arrays), deadline=limited(20))
    assert [node for node, _, _ in solution.ats] == [ats]
    assert verdict(arrays, solution)["ok"]


def test_a_forbidden_transfer_is_never_made(make_room, as_instance):
    arrays = make_room(**SMALL | {"displaced": 10, "tight": 0.02, "seed": 5})
    arrays["ats_cost"] = np.where(arrays["node_alt"] >= 0, np.inf, 0)
    arrays["crit_cost"] = arrays["crit_cost"] * 100
    assert not solve(as_instance(arrays), deadline=limited(20)).ats


def test_the_same_seed_gives_the_same_plan(make_room, as_instance):
    instance = as_instance(make_room(**SMALL | {"displaced": 10, "seed": 6}))
    plans = [solve(instance, rng=np.random.default_rng(1)) for _ in range(2)]
    assert dataclasses.asdict(plans[0]) == dataclasses.asdict(plans[1])


def permuted(arrays, rng):
    """The same room with servers and workloads in another order."""
    server, workload = (rng.permutation(len(arrays[n])) for n in ("server_cord", "wl_server"))
    out = dict(arrays)
    for name in arrays:
        if name.startswith("server_"):
            out[name] = arrays[name][server]
        if name.startswith("wl_"):
            out[name] = arrays[name][workload]
    out["wl_server"] = np.argsort(server)[out["wl_server"]]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_servers_and_workloads_changes_nothing(make_room, as_instance, seed):
    arrays = make_room(**SMALL | {"displaced": 8, "tight": 0.02, "seed": seed})
    rooms = [arrays, *(permuted(arrays, np.random.default_rng(k)) for k in range(2))]
    costs = [solve(as_instance(room), patience=60).cost for room in rooms]
    assert costs == pytest.approx([costs[0]] * 3, rel=2e-3)


def test_more_patience_and_a_mixed_integer_search_make_no_plan_dearer(make_room, as_instance):
    instance = as_instance(make_room(**ROOMS["few movable"]))
    first, usual = solve(instance, patience=0), solve(instance)
    polished = solve(instance, polish_s=5.0)
    assert first.cost >= usual.cost >= polished.cost - 1e-6
    assert polished.bound <= polished.cost


def test_no_node_is_at_more_risk_for_a_plan(make_room, as_instance):
    """Within limits from lead_s on; before that within limits, or no worse than doing nothing."""
    instance = as_instance(make_room(**SMALL | {"displaced": 10, "tight": 0.02, "seed": 8}))
    solution = solve(instance)
    assert solution.feasible
    loads, placed = Loads(instance), instance.wl_server.copy()
    for workload, server, _ in solution.moves:
        placed[workload] = server
    source = instance.ats_source.copy()
    for node, side, _ in solution.ats:
        source[node] = side
    before_w, after_w = loads.evaluate(), loads.evaluate(placed, source)
    limit_w = loads.limits()[..., None]
    assert (after_w <= np.maximum(limit_w, before_w) + 1e-3).all()
    late = np.arange(1, 13) * instance.step_s > instance.lead_s
    assert (after_w <= limit_w + 1e-3)[..., late].all()
