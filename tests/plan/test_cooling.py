"""Racks take no more heat than can be taken away from them."""

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.plan import solve
from wattcast_coordinator.plan.heat import rack_heat_w
from wattcast_coordinator.plan.network import trace_network
from wattcast_coordinator.plan.verify import Verifier

SMALL = {"servers": 48, "rack": 12, "per": 2, "feeds": 4, "movable": 80, "displaced": 8}


@pytest.fixture
def room(make_room):
    return make_room(**SMALL, seed=3, tight=0.05)


def heat_w(arrays, as_instance, placed):
    instance = as_instance(arrays | {"rack_cooling_w": np.zeros(4)})
    return rack_heat_w(instance, server_loads(instance, placed).mean_w)


def test_no_rack_comes_to_give_off_more_than_its_cooling(room, as_instance, verdict):
    free = solve(as_instance(room))
    assert free.feasible
    warmed = np.unique(room["server_rack"][[server for _, server, _ in free.moves]])
    present_w = heat_w(room, as_instance, room["wl_server"])
    cooling_w = np.full(4, np.inf)
    cooling_w[warmed[0]] = present_w[warmed[0]].max() + 20
    limited = solve(as_instance(room | {"rack_cooling_w": cooling_w}))
    assert limited.feasible, limited.why
    assert limited.cost >= free.cost - 1e-6
    placed = room["wl_server"].copy()
    for workload, server, _ in limited.moves:
        placed[workload] = server
    after_w = heat_w(room, as_instance, placed)
    assert (after_w <= np.maximum(cooling_w[:, None], present_w) + 1e-3).all()
    assert verdict(room, limited)["ok"]


def test_a_rack_that_is_too_warm_already_takes_nothing_more(room, as_instance):
    cooling_w = np.full(4, np.inf)
    cooling_w[1] = 1.0
    instance = as_instance(room | {"rack_cooling_w": cooling_w})
    solution = solve(instance)
    moved = [server for _, server, _ in solution.moves]
    came = np.isin(moved, np.flatnonzero(room["server_rack"] == 1))
    left = np.isin(
        room["wl_server"][[workload for workload, _, _ in solution.moves]],
        np.flatnonzero(room["server_rack"] == 1),
    )
    assert not (came & ~left).any()
    assert not solution.standing, "being too warm is not the plan's doing"


def test_the_proof_refuses_a_move_into_a_warm_rack(room, as_instance):
    solution = solve(as_instance(room))
    rack = int(room["server_rack"][solution.moves[0][1]])
    cooling_w = np.full(4, np.inf)
    cooling_w[rack] = 1.0
    instance = as_instance(room | {"rack_cooling_w": cooling_w})
    faults = Verifier(instance, trace_network(instance)).faults(solution.moves, solution.ats)
    assert f"rack_cooling_w of rack {rack} is exceeded" in faults


def test_unknown_cooling_changes_nothing(room, as_instance):
    plain = solve(as_instance(room))
    assert solve(as_instance(room | {"rack_cooling_w": np.full(4, np.inf)})).moves == plain.moves
