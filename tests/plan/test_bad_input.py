"""Rooms that are hard, odd or hopeless: an answer that the judge accepts, or a reason."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattcast_coordinator.plan import solve
from wattcast_core.errors import DataError
from wattcast_tools import main

SMALL = {"servers": 36, "rack": 12, "per": 2, "feeds": 3, "movable": 60, "displaced": 10}


def room_with(make_room, changes, **options):
    arrays = make_room(**SMALL | {"seed": 1, "tight": 0.02} | options)
    return arrays | {name: np.asarray(change(arrays[name])) for name, change in changes.items()}


SOLVABLE = {
    "shares do not add up to one": {"server_share": lambda share: share * 1.7},
    "servers name their only cord second": {"server_cord": lambda cord: cord[:, ::-1].copy(),
                                            "server_share": lambda s: s[:, ::-1].copy()},
    "prices are negative": {"price_per_kwh": lambda price: -3 * price},
    "prices are missing": {"price_per_kwh": lambda price: price * 0},
    "no loss is looked at": {"contingency": lambda nodes: nodes[:0]},
    "some have no limit": {"limit_base_w": lambda w: np.where(np.arange(len(w)) % 2, w, np.inf)},
    "a node is over its limit already": {"limit_base_w": lambda w: w * 0.93},
    "no ATS may move": {"ats_cost": lambda cost: np.where(cost > 0, np.inf, 0)},
    "one move at a time": {"max_parallel": lambda _: 1},
}  # fmt: skip


@pytest.mark.parametrize("changes", SOLVABLE.values(), ids=SOLVABLE.keys())
def test_odd_rooms_are_solved_as_the_judge_sees_them(make_room, as_instance, verdict, changes):
    arrays = room_with(make_room, changes)
    solution = solve(as_instance(arrays))
    assert solution.feasible, solution.why
    assert verdict(arrays, solution)["ok"]


HOPELESS = {
    "the lead time is past": ({"lead_s": lambda _: -5.0}, "lead time"),
    "no move is done in time": ({"lead_s": lambda _: 10.0, "max_ats": lambda _: 0}, "lead time"),
    "the churn budget is nil": ({"max_moves": lambda _: 0, "max_ats": lambda _: 0}, "churn budget"),
    "nothing may move": ({"wl_movable": np.zeros_like, "max_ats": lambda _: 0}, "may not be moved"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), HOPELESS.values(), ids=HOPELESS.keys())
def test_hopeless_rooms_are_refused_with_a_reason(make_room, as_instance, changes, reason):
    left = iter(range(10))
    room = as_instance(room_with(make_room, changes))
    solution = solve(room, deadline=lambda: next(left, None) is None)
    assert not solution.feasible
    assert reason in "; ".join(solution.why)


@pytest.mark.parametrize("resource", ["cpu", "mem"])
def test_without_any_destination_the_reason_is_that_no_server_has_room(
    make_room, as_instance, resource
):
    arrays = room_with(make_room, {"max_ats": lambda _: 0})
    used = np.bincount(arrays["wl_server"], arrays[f"wl_{resource}"], 36)
    arrays[f"server_{resource}"] = used
    solution = solve(as_instance(arrays))
    assert not solution.feasible
    assert solution.moves == ()
    assert "finds a server with CPU, memory and power to spare" in "; ".join(solution.why)


def test_a_lead_time_past_is_refused_even_with_nothing_to_do(make_room, as_instance):
    arrays = make_room(**SMALL | {"lead": -5.0})
    arrays["wl_server"][arrays["planted_wl"]] = arrays["planted_to"]
    solution = solve(as_instance(arrays))
    assert not solution.feasible
    assert "lead time" in solution.why[0]


def overfull(arrays):
    """One server holds more than it can; nothing about power."""
    server = int(np.bincount(arrays["wl_server"]).argmax())
    cpu = arrays["server_cpu"].copy()
    cpu[server] = 1.0
    return arrays | {"server_cpu": cpu}, server


def test_a_room_that_breaks_a_rule_already_is_cured_but_refused_on_file(
    make_room, as_instance, verdict, tmp_path, capsys
):
    arrays, server = overfull(room_with(make_room, {}))
    solution = solve(as_instance(arrays))
    assert solution.feasible
    assert solution.standing == (f"server_cpu of server {server} is exceeded",)
    errors = verdict(arrays, solution)["errors"]
    assert all("cpu broken" in error for error in errors)
    np.savez(tmp_path / "room.npz", **arrays)
    out = tmp_path / "plan.json"
    out.write_text("an old plan")
    words = ["plan", str(tmp_path / "room.npz"), "--out", str(out), "--json"]
    assert main.main(words) == 3
    assert f"server {server}" in json.loads(capsys.readouterr().out)["refused"]
    assert not out.exists(), "an old plan must not be taken for the new one"


@pytest.mark.parametrize("name", ["limit_n1_w", "price_per_kwh", "wl_sigma_w", "lead_s"])
def test_values_that_are_missing_are_named(make_room, as_instance, name):
    arrays = room_with(make_room, {name: lambda value: value * np.nan})
    with pytest.raises(DataError, match=name):
        solve(as_instance(arrays))


@pytest.mark.parametrize("name", ["wl_state_gib", "growth", "setup_s", "server_share"])
def test_values_below_zero_that_mean_nothing_are_named(make_room, as_instance, name):
    arrays = room_with(make_room, {name: lambda value: value - 1e3})
    with pytest.raises(DataError, match=name):
        solve(as_instance(arrays))


def test_numbers_of_racks_and_groups_may_be_anything(make_room, as_instance, verdict):
    arrays = room_with(make_room, {})
    plain = solve(as_instance(arrays))
    large = {name: np.where(arrays[name] >= 0, arrays[name] * 10_000 + 7, -1)
             for name in ("server_rack", "wl_anti", "wl_quorum")}  # fmt: skip
    solution = solve(as_instance(arrays | large))
    assert solution.moves == plain.moves
    assert verdict(arrays, solution)["ok"]


def mutated(arrays, rng):
    """A room with several things changed at random."""
    nodes, servers = len(arrays["node_parent"]), len(arrays["server_cord"])
    workloads = len(arrays["wl_server"])
    chance = {
        "lead_s": lambda: rng.choice([0.0, 60.0, 450.0, 1499.0, 1600.0, 3600.0, 5000.0]),
        "server_share": lambda: rng.choice([0.0, 0.3, 1.0], (servers, 2)),
        "server_cord": lambda: np.where(rng.random((servers, 2)) < 0.1,
                                        rng.integers(-1, nodes, (servers, 2)),
                                        arrays["server_cord"]),
        "z_n1": lambda: rng.uniform(0, 4),
        "limit_n1_w": lambda: arrays["limit_n1_w"] * rng.uniform(0.93, 1.03, nodes),
        "limit_base_w": lambda: arrays["limit_base_w"] * rng.uniform(0.8, 1.0),
        "ats_cost": lambda: np.where(arrays["node_alt"] >= 0, rng.uniform(0, 3, nodes), 0),
        "wl_anti": lambda: rng.integers(-1, workloads // 3, workloads),
        "wl_quorum": lambda: rng.integers(-20, workloads // 3, workloads).clip(-1),
        "max_parallel": lambda: rng.choice([0, 1, 16]),
        "max_moves": lambda: rng.choice([0, 3, 30]),
        "double_run": lambda: rng.choice([0.0, 1.0, 1.5]),
        "contingency": lambda: rng.permutation(nodes)[: int(rng.integers(0, 15))],
        "wl_factor_w": lambda: arrays["wl_factor_w"] * rng.choice([-1, 1], (workloads, 4)),
        "price_per_kwh": lambda: np.where(arrays["node_parent"] < 0, rng.uniform(-5, 5, nodes), 0),
    }  # fmt: skip
    some = rng.choice(list(chance), 4, replace=False)
    return arrays | {name: np.asarray(chance[name]()) for name in some}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 100_000))
def test_whatever_the_room_a_plan_is_accepted_or_a_reason_given(
    make_room, as_instance, verdict, seed
):
    rng = np.random.default_rng(seed)
    arrays = mutated(make_room(**SMALL, seed=int(rng.integers(50)), tight=0.02), rng)
    left = iter(range(15))
    solution = solve(as_instance(arrays), deadline=lambda: next(left, None) is None)
    if solution.feasible and not solution.standing:
        judged = verdict(arrays, solution)
        assert judged["ok"], judged["errors"]
        assert solution.cost == pytest.approx(judged["cost"], abs=0.02)
    else:
        assert solution.why or solution.standing
