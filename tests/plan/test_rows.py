"""Compiled constraints against all loads of all cases: pruning must lose nothing."""

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.plan.problem import prepare
from wattcast_coordinator.plan.state import State


def wander(state, rng, moves=40):
    """Random moves and transfers."""
    for workload in rng.choice(len(state.placed), moves, replace=False):
        state.move(int(workload), int(rng.integers(0, len(state.way))))
    for index in np.flatnonzero(rng.random(len(state.flipped)) < 0.5):
        state.flip(int(index))


def source_of(state):
    source = state.problem.instance.ats_source.copy()
    flipped = state.problem.rows.ats[state.flipped]
    source[flipped] = 1 - source[flipped]
    return source


ROOMS = [
    {"servers": 120, "feeds": 3, "movable": 100, "seed": 1},
    {"servers": 120, "feeds": 2, "movable": 100, "seed": 2, "tight": 0.005},
    {"servers": 160, "feeds": 8, "movable": 100, "seed": 3, "displaced": 60},
]


def same_load(loads, states, z):
    """[1+K, N] class of each case and node: members have the same load in all states."""
    key = [np.round(loads.evaluate(s.placed, source_of(s)), 6).sum(2) for s in states]
    key += [np.repeat(z[:, None], key[0].shape[1], axis=1)]
    flat = np.stack(key, axis=-1).reshape(-1, len(key))
    return np.unique(flat, axis=0, return_inverse=True)[1].reshape(key[0].shape)


@pytest.mark.parametrize("options", ROOMS)
@pytest.mark.parametrize("harder", [False, True], ids=["usual", "limits after a loss are lower"])
def test_each_nodes_worst_excess_is_that_of_a_row(make_room, as_instance, options, harder):
    arrays = make_room(**options)
    if harder:
        arrays["limit_n1_w"] = arrays["limit_base_w"] * 0.97
    instance = as_instance(arrays)
    states = [State(prepare(instance)) for _ in range(3)]
    for seed, state in enumerate(states):
        wander(state, np.random.default_rng(seed))
    state, rows, loads = states[0], states[0].problem.rows, Loads(instance)
    alike = same_load(loads, states, np.r_[0, np.ones(len(instance.contingency))])
    strict = slice(state.problem.first_strict, None)
    over_w = loads.evaluate(state.placed, source_of(state)) - loads.limits()[..., None]
    worst_w = over_w[..., strict].max(2)
    mine_w = np.zeros(alike.max() + 1)
    row_w = (state.load_w - rows.limit_w[:, None])[:, strict].max(1)
    np.testing.assert_allclose(row_w, worst_w[rows.case, rows.node], atol=1e-6)
    np.maximum.at(mine_w, alike[rows.case, rows.node], row_w)
    for node, case in enumerate(worst_w.argmax(0)):
        if worst_w[case, node] > 0:
            assert mine_w[alike[case, node]] >= worst_w[case, node] - 1e-6


@pytest.mark.parametrize("options", ROOMS)
def test_rows_that_do_no_worse_than_nothing_mean_nodes_that_do(make_room, as_instance, options):
    instance = as_instance(make_room(**options))
    problem = prepare(instance)
    loads = Loads(instance)
    allowed_w = np.maximum(loads.limits()[..., None], loads.evaluate())
    rng = np.random.default_rng(options["seed"])
    for _ in range(40):
        state = State(problem)
        wander(state, rng, moves=2)
        if (state.load_w <= problem.soft_w).all():
            all_w = loads.evaluate(state.placed, source_of(state))
            assert (all_w <= allowed_w + 1e-3).all()


def test_actions_and_their_opposites_leave_the_loads_as_they_were(make_room, as_instance):
    problem = prepare(as_instance(make_room(**ROOMS[0])))
    state, before = State(problem), State(problem)
    state.move(5, 17)
    state.flip(2)
    state.move(5, int(before.placed[5]))
    state.flip(2)
    np.testing.assert_allclose(state.load_w, before.load_w, atol=1e-6)
    assert state.cost() == pytest.approx(0, abs=1e-9)
