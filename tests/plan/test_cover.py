"""The covering problem against all choices of small ones."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_coordinator.plan.cover import Cover, complete, exact, exchange, price


def problem(seed, *, actions=11, rows=4):
    """Some rows to be met, one that only must not get worse, two dear actions that help much."""
    rng = np.random.default_rng(seed)
    gain = rng.gamma(2, 20, (rows, actions)) * (rng.random((rows, actions)) < 0.6)
    gain[:, -2:] = rng.uniform(40, 150, (rows, 2))
    gain[-1, -2:] *= -1
    need = rng.uniform(40, 160, rows)
    need[-1] = -30.0
    cost = rng.uniform(1, 4, actions)
    cost[-2:] *= 3
    kind = np.zeros(actions, np.int64)
    kind[-2:] = 1
    return Cover(gain, need, cost, kind, (6, 1))


def cheapest(cover):
    """Cost of the cheapest choice, by trying all; inf if there is none."""
    costs = [np.inf]
    for choice in product((False, True), repeat=len(cover.cost)):
        x = np.array(choice)
        within = (np.bincount(cover.kind[x], minlength=2) <= cover.budget).all()
        if within and (cover.slack(x) >= 0).all():
            costs.append(cover.cost[x].sum())
    return min(costs)


def found(cover):
    prices = price(cover)
    none = np.zeros(len(cover.cost), bool)
    full = complete(cover, none, prices.row + 1e-6, cover.cost)
    if (cover.slack(full) < 0).any():
        return None
    return exchange(cover, full, np.argsort(prices.reduced))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_a_choice_covers_within_budget_and_costs_between_bound_and_greedy(seed):
    cover = problem(seed)
    best = cheapest(cover)
    assert price(cover).bound <= best + 1e-6
    choice = found(cover)
    if choice is None:
        return
    assert cover.slack(choice).min() >= -1e-6
    assert (np.bincount(cover.kind[choice], minlength=2) <= cover.budget).all()
    assert cover.cost[choice].sum() >= best - 1e-9


def test_exchanges_come_close_to_the_optimum():
    gaps = []
    for seed in range(30):
        cover = problem(seed)
        choice, best = found(cover), cheapest(cover)
        if choice is not None:
            gaps.append(cover.cost[choice].sum() / best - 1)
    assert len(gaps) > 20
    assert np.mean(gaps) < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_the_mixed_integer_search_finds_the_optimum(seed):
    cover = problem(seed)
    choice, best = exact(cover, 10.0), cheapest(cover)
    if np.isinf(best):
        assert choice is None
    else:
        assert cover.cost[choice].sum() == pytest.approx(best, rel=1e-3)


def test_what_nothing_covers_is_said_by_a_choice_that_falls_short():
    cover = Cover(np.zeros((1, 3)), np.ones(1), np.ones(3), np.zeros(3, np.int64), (3, 0))
    assert found(cover) is None
    assert not len(
        complete(cover.some(np.zeros(0, int)), np.zeros(0, bool), np.ones(1), np.ones(0))
    )


def test_ties_go_to_moves():
    gain = np.array([[50.0, 50.0], [30.0, 30.0]])
    cover = Cover(gain, np.array([40.0, 20.0]), np.ones(2), np.array([0, 1]), (2, 2))
    none = np.zeros(2, bool)
    choice = complete(cover, none, np.ones(2), cover.cost)
    assert exchange(cover, choice, np.arange(2)).tolist() == [True, False]
