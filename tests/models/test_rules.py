"""When a model is promoted, withdrawn, or found to drift."""

import math
from dataclasses import replace

import numpy as np
import pytest

from wattcast_coordinator.models import drift, record
from wattcast_coordinator.models.drift import Drift, Observation, advance, observe
from wattcast_coordinator.models.promotion import Judgement, Rule, decide, withdraw
from wattcast_coordinator.models.record import ModelRecord, ModelState
from wattcast_core.errors import Refused
from wattcast_core.models import Stage

GOOD = Judgement(
    "web",
    10_000,
    "a",
    "b",
    {"challenger": 9.0, "champion": 10.0, "persistence": 12.0, "seasonal_naive": 20.0},
    {"challenger": 0.9, "champion": 0.9},
)


def with_loss(**loss):
    return replace(GOOD, pinball_w=dict(GOOD.pinball_w) | loss)


def test_a_clear_win_is_promoted_with_its_figures():
    decision = decide(GOOD, Rule())
    assert decision.promote
    assert "challenger 9" in decision.why
    assert "champion 10" in decision.why


@pytest.mark.parametrize(
    ("judged", "why"),
    [
        (replace(GOOD, targets=10), "only 10 forecasts could be judged"),
        (with_loss(challenger=9.9), "1.0 % better than the champion, 2 % are needed"),
        (with_loss(challenger=11.0), "-10.0 % better than the champion"),
        (with_loss(persistence=8.9), "persistence 8.9 W"),
        (with_loss(seasonal_naive=9.0), "seasonal_naive 9 W"),
        (with_loss(**{"global": 9.1}), "better than the global"),
        (with_loss(challenger=math.nan), "could be judged"),
        (replace(GOOD, pinball_w={}), "could be judged"),
        (replace(GOOD, coverage90={"challenger": 0.7}), "its q90 covers 0.700"),
    ],
)
def test_what_is_not_better_is_not_promoted(judged, why):
    decision = decide(judged, Rule())
    assert not decision.promote
    assert why in decision.why


def test_one_defect_withdraws_and_a_third_of_the_agents_that_find_it_worse():
    assert not withdraw([])
    assert not withdraw([Stage.SERVING, Stage.TRIAL, Stage.REFUSED])
    assert "failed in service" in withdraw([Stage.SERVING] * 9 + [Stage.DEFECT])
    assert not withdraw([Stage.SERVING] * 3 + [Stage.WORSE])
    assert "at 1 of 3 agents" in withdraw([Stage.SERVING] * 2 + [Stage.WORSE])


def made(name, at, state):
    return ModelRecord("web", name, name * 64, 10, 1, since=at, state=state)


def test_champions_follow_each_other_and_come_back():
    a, b = made("a", "1", ModelState.CANDIDATE), made("b", "2", ModelState.CANDIDATE)
    (a,) = record.promoted([a, b], a, "3", "better")
    a, b = record.promoted([a, b], b, "4", "better")
    assert (a.state, b.state) == (ModelState.RETIRED, ModelState.CHAMPION)
    with pytest.raises(Refused, match="already"):
        record.promoted([a, b], b, "5", "again")
    b, a = record.rolled_back([a, b], "web", "6", "worse")
    assert (a.state, b.state) == (ModelState.CHAMPION, ModelState.ROLLED_BACK)
    (a,) = record.rolled_back([a, b], "web", "7", "worse, too")
    assert record.champion_of([a, b], "web") is None, "one that was rolled back does not return"
    with pytest.raises(Refused, match="has no champion"):
        record.rolled_back([a, b], "web", "8", "")


def observations(rng, count, loss=1.0, cover=0.9):
    """As lively as real ones: correlated, of 120 servers and horizons a step."""
    noise = 0.0
    for _ in range(count):
        noise = 0.7 * noise + rng.normal(0.0, 0.2)
        share = np.clip(cover + rng.normal(0.0, 0.06), 0.0, 1.0)
        yield Observation(loss * math.exp(noise), float(share))


def fold(state, seen):
    for each in seen:
        state = advance(state, each)
    return state


def test_months_without_drift_raise_no_alarm():
    state = Drift()
    for seen in observations(np.random.default_rng(1), 90 * 288):
        state = advance(state, seen)
        assert not state.alarm


@pytest.mark.parametrize(
    ("change", "within_h", "why"),
    [
        ({"loss": 2.0}, 6, "loss above"),
        ({"loss": 1.5}, 30, "loss above"),
        ({"cover": 0.7}, 12, "q90 covers too little"),
    ],
)
def test_drift_is_found_in_time_and_the_alarm_holds_until_it_is_over(change, within_h, why):
    rng = np.random.default_rng(2)
    state = fold(Drift(), observations(rng, 2 * 288))
    assert not state.alarm
    state = fold(state, observations(rng, within_h * 12, **change))
    assert state.alarm
    assert why in state.why()
    raised = 0
    for seen in observations(rng, 288):
        state = advance(state, seen)
        raised += state.alarm
    assert not state.alarm, "lifted within a day"
    assert raised > 12, "not at the first good step"


def test_what_cannot_be_observed_changes_nothing():
    state = fold(Drift(), observations(np.random.default_rng(3), 300))
    for loss, cover in ((math.nan, 0.9), (1.0, math.nan), (0.0, 0.9), (math.inf, 0.9)):
        assert advance(state, Observation(loss, cover)) == state


def test_a_load_twice_as_high_and_lively_is_no_drift():
    rng = np.random.default_rng(4)
    before = rng.uniform(100.0, 300.0, 50)
    actual = before + rng.normal(0.0, 10.0, 50)
    quantiles = before[:, None] + np.array([-12.0, 0.0, 12.0, 25.0])
    one, two = observe(quantiles, actual, before), observe(2 * quantiles, 2 * actual, 2 * before)
    assert one.loss == pytest.approx(two.loss)
    assert one.coverage90 == two.coverage90 == pytest.approx((actual <= before + 12.0).mean())
    flat = observe(np.full((3, 4), 100.0), np.full(3, 100.0), np.full(3, 100.0))
    assert (flat.loss, flat.coverage90) == (0.0, 1.0)
    assert drift.RAISE > drift.CLEAR
