"""The product's proof of plans against the judge, which shares no code with it."""

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.plan import Solution, solve
from wattcast_coordinator.plan.network import trace_network
from wattcast_coordinator.plan.verify import Verifier

SMALL = {"servers": 36, "rack": 12, "per": 2, "feeds": 3, "movable": 60, "displaced": 10}


def verifier_of(instance):
    return Verifier(instance, trace_network(instance))


def disturbed(moves, transfers, servers, rng):
    """A plan with something wrong, perhaps: a destination, a start or a missing move."""
    moves, transfers = [list(m) for m in moves], [list(t) for t in transfers]
    for _ in range(int(rng.integers(1, 3))):
        move = moves[int(rng.integers(len(moves)))]
        kind = int(rng.integers(4))
        if kind == 0:
            move[1] = int(rng.integers(servers))
        elif kind == 1:
            move[2] = max(0.0, move[2] + float(rng.uniform(-60, 60)))
        elif kind == 2 and len(moves) > 1:
            moves.remove(move)
        elif transfers:
            transfers[0][2] = max(0.0, transfers[0][2] + float(rng.uniform(-60, 200)))
    return tuple(map(tuple, moves)), tuple(map(tuple, transfers))


@pytest.mark.parametrize("seed", [3, 4, 8, 11])
def test_it_refuses_what_the_judge_refuses_and_nothing_else(make_room, as_instance, verdict, seed):
    arrays = make_room(**SMALL, seed=seed, tight=0.02)
    arrays["ats_cost"] = np.where(arrays["node_alt"] >= 0, 0.5, 0.0)
    instance = as_instance(arrays)
    solution = solve(instance)
    assert solution.feasible
    verifier, rng, refused = verifier_of(instance), np.random.default_rng(seed), 0
    for _ in range(12):
        moves, transfers = disturbed(solution.moves, solution.ats, 36, rng)
        judged = verdict(arrays, Solution(moves, transfers, 0, True, 0, 0, 0, ()))
        assert (not verifier.faults(moves, transfers)) == judged["ok"], judged["errors"]
        refused += not judged["ok"]
    assert 0 < refused < 12


def test_loads_after_a_plan_are_those_of_the_room_it_leads_to(make_room, as_instance):
    instance = as_instance(make_room(**SMALL, seed=2, tight=0.02))
    ats = trace_network(instance).ats[:2]
    placed, source = instance.wl_server.copy(), instance.ats_source.copy()
    placed[[3, 9]], source[ats] = [7, 30], 1 - source[ats]
    moves = tuple((w, int(placed[w]), 0.0) for w in (3, 9))
    transfers = tuple((int(n), int(source[n]), 10.0) for n in ats)
    verifier = verifier_of(instance)
    load_w, probability = verifier.risk(moves, transfers)
    expected_w = Loads(instance).evaluate(placed, source)[verifier.case, verifier.node]
    np.testing.assert_allclose(load_w, expected_w, atol=1e-6)
    over = load_w > verifier.limit_w[:, None] + 1
    assert (probability[over] > 0.009).all()  # z_base leaves one in a hundred


def test_rules_are_told_in_words(make_room, as_instance):
    instance = as_instance(make_room(**SMALL, seed=1))
    verifier = verifier_of(instance)
    pinned = int(np.flatnonzero(~instance.wl_movable)[0])
    movable = int(np.flatnonzero(instance.wl_movable)[0])
    home = int(instance.wl_server[movable])
    ats = int(np.flatnonzero(instance.node_alt >= 0)[0])
    late = ((movable, (home + 1) % 36, instance.lead_s),)
    assert "may not be moved" in verifier.faults(((pinned, 0, 0.0),), ())[0]
    assert "its own server" in verifier.faults(((movable, home, 0.0),), ())[0]
    assert "twice" in verifier.faults((), ((ats, 0, 0.0), (ats, 1, 5.0)))[0]
    assert "not of an ATS" in verifier.faults((), ((0, 0, 0.0),))[0]
    assert any("lead time" in fault for fault in verifier.faults(late, ()))
