"""Signatures of a rack in, honest forecasts out."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_core.errors import DataError
from wattcast_core.forecast import Code, Kind
from wattcast_core.samples import Quality
from wattcast_core.signal.familiar import Range
from wattcast_core.signal.features import CONTEXT
from wattcast_core.signal.steps import HORIZON, STEP_S, WINDOW
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import from_epoch_s

T0 = 1_700_000_100.0 // STEP_S * STEP_S
MODEL = LiteRtModel(BASE_MODEL, BASE_MANIFEST)


def signature(server, k, power_w, step_s=STEP_S):
    values = [math.nan] * len(FEATURES)
    values[0] = power_w / 6.0
    return Signature(server, from_epoch_s(T0 + k * step_s), step_s, (power_w,), tuple(values))


def load(k):
    return 300.0 + 40.0 * math.sin(k / 9.0)


def run(forecaster, power, steps, *, first=0, step_s=STEP_S):
    """Feed step after step; returns the last step's forecasts by server."""
    out = {}
    for k in range(first, first + steps):
        batch = [signature(server, k, watts, step_s) for server, watts in power(k).items()]
        now = from_epoch_s(T0 + (k + 1) * step_s)
        out = {f.server: f for f in forecaster.update(batch, now, float(k))}
    return out


def perfect(inputs):
    """A model that knows the load: the sine is found in the window, and goes on."""
    power = np.sinh(inputs.recent[:, :, 0].astype(float))
    angle = np.arange(WINDOW + HORIZON) / 9.0
    basis = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
    fit = np.linalg.lstsq(basis[:WINDOW], power.T, rcond=None)[0]
    return (basis[WINDOW:] @ fit).T[:, :, None] + np.array([-0.05, 0.0, 0.05, 0.1])


def test_the_better_forecaster_is_served_and_named():
    served = run(Forecaster(perfect, "m1"), lambda k: {"s1": load(k)}, 90)["s1"]
    assert served.kind is Kind.LSTM
    assert served.model_id == "m1"
    assert "naive" in served.reason
    assert served.code is Code.LSTM
    actual = [load(k) for k in range(90, 102)]
    assert np.abs(np.array(served.quantiles_w)[:, 1] - actual).max() < 8.0


def test_a_model_that_turns_bad_gives_way_to_the_naive_one():
    bad = [False]

    def turning(inputs):
        return perfect(inputs) + (50.0 if bad[0] else 0.0)

    forecaster = Forecaster(turning, "m1")
    assert run(forecaster, lambda k: {"s1": load(k)}, 80)["s1"].kind is Kind.LSTM
    bad[0] = True
    served = run(forecaster, lambda k: {"s1": load(k)}, 20, first=80)["s1"]
    assert served.kind is Kind.NAIVE
    assert served.model_id == "naive"
    assert served.reason.startswith("naive: trailing pinball")
    assert served.code is Code.NAIVE


def test_without_a_model_the_naive_forecast_is_served_from_eight_steps_on():
    forecaster = Forecaster()
    assert run(forecaster, lambda k: {"s1": load(k)}, 7) == {}
    served = run(forecaster, lambda k: {"s1": load(k)}, 1, first=7)["s1"]
    assert served.kind is Kind.NAIVE
    assert served.reason.endswith("naive: no model is loaded")


def test_a_failing_model_never_stops_the_forecasts():
    def failing(inputs):
        raise DataError("m1: the runtime failed")

    served = run(Forecaster(failing, "m1"), lambda k: {"s1": load(k)}, 20)["s1"]
    assert served.reason == "naive: m1: the runtime failed"


def test_a_gap_is_bridged_from_the_last_good_value_for_a_while():
    forecaster = Forecaster(MODEL.predict, MODEL.id)
    run(forecaster, lambda k: {"s1": 300.0 + k % 3, "s2": 200.0 + k % 2}, 70)
    gap = run(forecaster, lambda k: {"s1": math.nan, "s2": 200.0 + k % 2}, 3, first=70)
    assert "not measured for 3 steps" in gap["s1"].reason
    assert (gap["s1"].code, gap["s2"].code) == (Code.STALE, Code(gap["s2"].kind))
    assert abs(gap["s1"].quantiles_w[0][1] - 300.0) < 10.0
    gone = run(forecaster, lambda k: {"s1": math.nan, "s2": 200.0 + k % 2}, 4, first=73)
    assert set(gone) == {"s2"}


def test_stale_readings_are_a_gap_too():
    forecaster = Forecaster()
    run(forecaster, lambda k: {"s1": load(k)}, 20)
    stuck = replace(signature("s1", 20, 999.0), quality=Quality.STALE)
    (served,) = forecaster.update([stuck], from_epoch_s(T0 + 21 * STEP_S), 0.0)
    assert served.quantiles_w[0][1] < 400.0


def test_an_issue_says_when_it_was_made_and_from_which_reading():
    served = run(Forecaster(), lambda k: {"s1": load(k)}, 20)["s1"]
    assert served.issued_at == from_epoch_s(T0 + 20 * STEP_S)
    assert served.sampled_real_s == 19.0
    assert served.step_s == STEP_S


def test_history_in_one_batch_is_judged_like_history_step_by_step():
    forecaster = Forecaster(perfect, "m1")
    history = [signature("s1", k, load(k)) for k in range(WINDOW)]
    (served,) = forecaster.update(history, from_epoch_s(T0 + WINDOW * STEP_S), 0.0)
    by_step = run(Forecaster(perfect, "m1"), lambda k: {"s1": load(k)}, WINDOW)["s1"]
    assert (served.kind, served.reason) == (by_step.kind, by_step.reason)
    np.testing.assert_allclose(served.quantiles_w, by_step.quantiles_w)


def test_short_steps_forecast_between_the_models_steps():
    forecaster = Forecaster(MODEL.predict, MODEL.id)
    served = run(forecaster, lambda k: {"s1": 300.0 + k % 4}, 12 * 10 + 3, step_s=30.0)["s1"]
    assert served.issued_at == from_epoch_s(T0 + 123 * 30.0)
    assert len(served.quantiles_w) == HORIZON


def test_no_forecast_looks_ahead():
    """What comes later does not change what was said before."""
    one = run(Forecaster(MODEL.predict), lambda k: {"s1": load(k)}, 40)["s1"]
    future = [signature("s1", 45, 5000.0)]
    forecaster = Forecaster(MODEL.predict)
    run(forecaster, lambda k: {"s1": load(k)}, 39)
    batch = [signature("s1", 39, load(39)), *future]
    (two,) = forecaster.update(batch, from_epoch_s(T0 + 40 * STEP_S), 39.0)
    assert one.quantiles_w == two.quantiles_w


def test_a_first_signature_with_a_wrong_clock_does_not_blind_the_forecaster():
    forecaster = Forecaster(perfect, "m1")
    assert forecaster.update([signature("s1", 10**5, 1.0)], from_epoch_s(T0), 0.0) == []
    assert run(forecaster, lambda k: {"s1": load(k)}, 90)["s1"].kind is Kind.LSTM


def test_right_after_a_long_gap_there_is_a_forecast_again():
    forecaster = Forecaster(MODEL.predict, MODEL.id)
    run(forecaster, lambda k: {"s1": load(k)}, 70)
    assert run(forecaster, lambda k: {"s1": math.nan}, 80, first=70) == {}
    served = run(forecaster, lambda k: {"s1": load(k)}, 1, first=150)["s1"]
    assert abs(served.quantiles_w[0][1] - load(150)) < 40.0


def ranged(low, high):
    return Range(np.full(len(CONTEXT), low), np.full(len(CONTEXT), high))


def test_inputs_outside_what_the_model_learned_widen_the_fan_and_say_so():
    plain, wide = (  # soon: calibration narrows the fan again while the forecasts prove right
        run(Forecaster(perfect, "m1", learned=of), lambda k: {"s1": load(k)}, 70)["s1"]
        for of in (ranged(-9.0, 9.0), ranged(-1.0, 1.0))
    )
    assert plain.code is not Code.UNFAMILIAR
    assert wide.code is Code.UNFAMILIAR
    assert "lies outside what the LSTM learned" in wide.reason
    width = [f.quantiles_w[0][2] - f.quantiles_w[0][0] for f in (plain, wide)]
    assert width[1] > 1.1 * width[0]


def test_a_model_that_expects_the_way_back_keeps_up_with_a_steady_rise():
    def back(inputs):
        return np.stack([np.full((len(inputs), HORIZON), w) for w in (-9.0, -6.0, 0.0, 1.0)], -1)

    rising = run(Forecaster(back, "m1"), lambda k: {"s1": 300.0 + 8.0 * max(k - 70, 0)}, 80)["s1"]
    assert rising.code is Code.RISE
    assert "climbs steadily, 7 W a step" in rising.reason
    now_w = 300.0 + 8.0 * 9
    assert rising.quantiles_w[-1][1] > now_w + 40.0


def test_a_model_far_from_what_it_learned_is_not_used():
    served = run(Forecaster(perfect, "m1", learned=ranged(0.0, 0.1)), lambda k: {"s1": load(k)}, 90)
    assert served["s1"].kind is Kind.NAIVE
    assert "not used" in served["s1"].reason


def test_a_step_of_the_level_is_told():
    forecaster = Forecaster()
    day = 290
    run(forecaster, lambda k: {"s1": load(k)}, day)
    stepped = run(forecaster, lambda k: {"s1": 900.0 + k % 2}, 3, first=day)["s1"]
    assert stepped.code is Code.STEP
    assert "stepped +5" in stepped.reason
    assert run(forecaster, lambda k: {"s1": 900.0}, 4, first=day + 3)["s1"].code is not Code.STEP


def test_nothing_new_is_no_forecast():
    assert Forecaster().update([], from_epoch_s(T0) + timedelta(0), 0.0) == []


@given(
    seed=st.integers(0, 10_000),
    lost=st.floats(0.0, 0.6),
    slope=st.floats(-5.0, 5.0),
    size=st.floats(1.0, 3000.0),
)
@settings(max_examples=12, deadline=None)
def test_served_forecasts_are_finite_and_ordered_whatever_drops_out(seed, lost, slope, size):
    rng = np.random.default_rng(seed)
    forecaster = Forecaster(MODEL.predict, MODEL.id)
    for k in range(30):
        batch = []
        for server in ("s1", "s2", "s3"):
            watts = size + slope * k + float(rng.normal(0.0, 0.05 * size))
            watts = float(rng.choice([math.nan, -1.0, 1e9])) if rng.random() < lost else watts
            if rng.random() < 0.9:
                batch.append(signature(server, k, watts))
        for forecast in forecaster.update(batch, from_epoch_s(T0 + (k + 1) * STEP_S), 0.0):
            quantiles = np.array(forecast.quantiles_w)
            assert quantiles.shape == (HORIZON, 4)
            assert np.isfinite(quantiles).all()
            assert (quantiles >= 0).all()
            assert (np.diff(quantiles, axis=1) >= 0).all()
