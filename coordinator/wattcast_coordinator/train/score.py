"""How good the model is beside simpler ones, in watts, on windows nobody learned from."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from wattcast_coordinator.train.dataset import Examples
from wattcast_core.errors import MissingExtraError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal import naive
from wattcast_core.signal.features import Float32Array, ModelInput
from wattcast_core.signal.quantiles import coverage, ordered, pinball
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.units import FloatArray

STEPS_AHEAD = (1, 3, 12)
_AT = tuple(h - 1 for h in STEPS_AHEAD)
_LAGS, _NEWEST = 12, 3  # steps of power, of the other channels
_TREES: Mapping[str, Any] = {
    "objective": "quantile",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 80,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.8,
    "verbosity": -1,
    "num_threads": 1,  # more of them wait for each other busily where cores are few or shared
    "deterministic": True,
    "force_row_wise": True,
}
_ROUNDS = 200

Forecasts = Mapping[str, FloatArray]


class Trees:
    """LightGBM on lags and statistics of the same inputs: one model a horizon and quantile."""

    def __init__(self, train: Examples, weight: Float32Array, seed: int) -> None:
        """Train on the windows and weights the LSTM sees.

        Raises:
            MissingExtraError: LightGBM is absent.
        """
        try:
            gbm = importlib.import_module("lightgbm")
        except ImportError as error:
            raise MissingExtraError("lightgbm", "train") from error
        self._models = []
        for step in _AT:
            x, y = _table(train.input, step), np.ascontiguousarray(train.scaled[:, step])
            self._models.append([self._fit(gbm, x, y, weight, level, seed) for level in QUANTILES])

    @staticmethod
    def _fit(
        gbm: Any, x: FloatArray, y: Float32Array, weight: Float32Array, level: float, seed: int
    ) -> Any:
        settings = {**_TREES, "alpha": level, "seed": seed}
        return gbm.train(settings, gbm.Dataset(x, y, weight=weight), num_boost_round=_ROUNDS)

    def quantiles_w(self, inputs: ModelInput) -> FloatArray:
        """[n, len(STEPS_AHEAD), 4] watts."""
        rows = []
        for step, models in zip(_AT, self._models, strict=True):
            x = _table(inputs, step)
            rows.append(np.stack([model.predict(x) for model in models], axis=-1))
        return ordered(inputs.to_watts(np.stack(rows, axis=1)))


def forecasts(model: Any, trees: Trees, train: Examples, judged: Examples) -> Forecasts:
    """Quantiles [n, len(STEPS_AHEAD), 4] in watts of every forecaster compared."""
    given = [*judged.input.parts().values()]
    scaled = np.asarray(model.predict(given, batch_size=1024, verbose=0), np.float64)
    return {
        "lstm": ordered(judged.input.to_watts(scaled))[:, _AT],
        "lightgbm": trees.quantiles_w(judged.input),
        "naive": naive.forecast(judged.past_w, HORIZON)[:, _AT],
        "persistence": _persistence(train, judged)[:, _AT],
    }


def rate(judged: Examples, by_model: Forecasts) -> dict[str, Any]:
    """Scores of each forecaster over the windows all of them answered."""
    answered = np.all([np.isfinite(q).all(axis=(1, 2)) for q in by_model.values()], axis=0)
    actual = judged.target_w[answered][:, _AT]
    rows = {name: _scores(actual, q[answered]) for name, q in by_model.items()}
    return {"windows": int(answered.sum()), **rows}


def _scores(actual_w: FloatArray, quantiles_w: FloatArray) -> dict[str, Any]:
    loss = pinball(actual_w, quantiles_w)
    names = [f"q{level * 100:g}" for level in QUANTILES]
    median = quantiles_w[:, :, QUANTILES.index(0.5)]
    minutes = [f"{h * STEP_S / 60:g}min" for h in STEPS_AHEAD]
    return {
        "pinball_w": _named(["total", *names], [loss.mean(), *loss.mean(axis=(0, 1))]),
        "pinball_w_by_horizon": _named(minutes, loss.mean(axis=(0, 2))),
        "mae_w": round(float(np.abs(actual_w - median).mean()), 3),
        "coverage": _named(names, coverage(actual_w.ravel(), quantiles_w.reshape(-1, len(names)))),
    }


def _named(names: list[str], values: Any) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}


def _persistence(train: Examples, judged: Examples) -> FloatArray:
    """Now; the other quantiles from all scaled changes of the training windows."""
    scaled = np.quantile(train.scaled, QUANTILES, axis=0).T.astype(np.float64)
    scaled[:, QUANTILES.index(0.5)] = 0.0
    return judged.input.to_watts(np.broadcast_to(scaled, (len(judged), *scaled.shape)))


def _table(inputs: ModelInput, step: int) -> FloatArray:
    """What the network sees, flat: newest steps, context, and that step ahead."""
    power, others = inputs.recent[:, -_LAGS:, 0], inputs.recent[:, -_NEWEST:, 1:]
    columns = [power, others.reshape(len(inputs), -1), inputs.context, inputs.ahead[:, step]]
    return np.column_stack(columns)
