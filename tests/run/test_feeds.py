"""Forecasts of feeds while a coordinator leads: calibrated by what came, begun with the past."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "step"))
import decision_room as room

from wattcast_configs.control import Decision
from wattcast_configs.models import BASE_SUMS
from wattcast_configs.sum_file import read_sums
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.run.feeds import FeedForecasts
from wattcast_coordinator.run.outlook import fans
from wattcast_coordinator.step import State
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.store.contract import RecentPower
from wattcast_core.signal.steps import DAY, STEP_S
from wattcast_core.units import epoch_s

STEPS = 500
WALK = np.random.default_rng(3).normal(0.0, 0.35, STEPS + DAY).cumsum()


def common_walk(_workload, step):
    """All servers move together, which the sum of their forecasts knows nothing of."""
    return 60.0 + WALK[step % len(WALK)]


@pytest.fixture
def simulated():
    return room.Room(room.site(), watts=common_walk, spread_w=3.0)


def problem(simulated, inputs):
    decision = Decision()
    known = standing(State(), inputs, simulated.graph, decision)
    return build(simulated.graph, inputs, decision, known)


def test_a_quantile_of_a_feed_covers_what_it_says_and_the_page_tells_how_much(simulated):
    feeds, graph = FeedForecasts(simulated.graph, None), simulated.graph
    laid_out = problem(simulated, simulated.inputs())
    below, told = [], []
    for step in range(STEPS):
        simulated.now_step = step
        inputs = simulated.inputs()
        served, covered = feeds.update(laid_out, inputs)
        told.append(covered)
        below.append(served[:, 0])
    loads = _loads(simulated, graph, laid_out)
    shares = (loads[-DAY:, :, None] <= np.array(below)[-DAY - 1 : -1]).mean(axis=0)
    assert np.abs(shares[:, 2] - 0.9).max() < 0.05
    np.testing.assert_allclose(told[-1][:, 0], shares, atol=0.03)


def _loads(simulated, graph, laid_out):
    """[step, feed] true loads: every feed carries the same two thirds of its racks."""
    shares = FeedForecasts(graph, None)._shares(laid_out)
    of = [[simulated.power_w(s, k) for s in graph.servers] for k in range(STEPS)]
    return np.array(of) @ shares.T


def test_with_a_day_kept_in_the_store_the_network_of_sums_serves_at_once(simulated):
    names, network = simulated.graph.servers, read_sums(BASE_SUMS)
    simulated.now_step = 2 * DAY
    inputs = simulated.inputs()
    laid_out = problem(simulated, inputs)
    kept = {s: [simulated.power_w(s, k) for k in range(2 * DAY)] for s in names}
    past = RecentPower(epoch_s(simulated.now) - STEP_S, STEP_S, kept)
    fresh, resumed, other = (FeedForecasts(simulated.graph, network) for _ in range(3))
    resumed.resume(past)
    other.resume(replace(past, step_s=60.0))
    served, again, alike = (of.update(laid_out, inputs)[0] for of in (resumed, fresh, other))
    assert np.isfinite(served).all()
    assert (np.diff(served, axis=2) >= 0).all()
    assert not np.allclose(served, again)
    np.testing.assert_array_equal(again, alike)


def test_what_the_store_tells_late_is_the_same_as_told_at_first(simulated):
    names, network = simulated.graph.servers, read_sums(BASE_SUMS)
    began = 2 * DAY
    kept = {s: [simulated.power_w(s, k) for k in range(began)] for s in names}
    simulated.now_step = began
    past = RecentPower(epoch_s(simulated.now) - STEP_S, STEP_S, kept)
    first, late = (FeedForecasts(simulated.graph, network) for _ in range(2))
    laid_out = problem(simulated, simulated.inputs())
    first.resume(past)
    for step in range(began, began + 4):
        simulated.now_step = step
        if step == began + 3:
            late.resume(past)
        inputs = simulated.inputs()
        medians = [of.update(laid_out, inputs)[0][..., 1] for of in (first, late)]
    np.testing.assert_allclose(medians[1], medians[0])  # margins leave a median alone


def test_while_too_few_servers_are_measured_the_fan_is_summed_and_says_so(simulated):
    feeds = FeedForecasts(simulated.graph, None)
    ours = fans(State(), simulated.inputs(), simulated.graph, Decision(), feeds)
    assert {fan.reason.split(":")[0] for fan, _ in ours.values()} == {"calibrated"}
    assert all(len(fan.covered) == 4 for fan, _ in ours.values())
    simulated.now_step = 1
    inputs = simulated.inputs()
    few = dict(list(inputs.signatures.items())[:5])
    ours = fans(State(), replace(inputs, signatures=few), simulated.graph, Decision(), feeds)
    assert {fan.reason.split(":")[0] for fan, _ in ours.values()} == {"summed"}
    assert all(fan.covered == () and np.isfinite(fan.q99).all() for fan, _ in ours.values())
