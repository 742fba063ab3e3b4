"""A model that is watched: what it may answer, and a probe before it serves."""

import math
from datetime import datetime, timedelta

import numpy as np

from wattcast_agent.forecast.forecaster import Forecaster, Predict
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_core.errors import DataError
from wattcast_core.signal.familiar import Range
from wattcast_core.signal.features import ModelInput
from wattcast_core.signal.steps import STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import EPOCH, FloatArray

_PROBE_LOADS_W = (0.0, 5.0, 300.0, 2_000.0, math.nan)  # servers of the probe
_PROBE_STEPS = 12  # the least that are forecast from, and a few more
_CPU = FEATURES.index("cpu_pct")


class Guarded:
    """See ``roster.Model``."""

    def __init__(self, predict: Predict, model_id: str, learned: Range | None = None) -> None:
        self._predict, self.learned = predict, learned
        self.id, self.problem, self.answers = model_id, "", 0

    def predict(self, inputs: ModelInput, /) -> FloatArray:
        """As the model; an answer that is no forecast is a problem for good.

        Raises:
            DataError: it is not finite or not in order, or the model failed.
        """
        try:
            out = self._predict(inputs)
        except DataError as error:
            self.problem = str(error)
            raise
        if not np.isfinite(out).all():
            self.problem = f"{self.id} answered {int((~np.isfinite(out)).sum())} numbers not finite"
        elif (np.diff(out, axis=-1) < 0).any():
            self.problem = f"{self.id} answered quantiles that are not in order"
        if self.problem:
            raise DataError(self.problem)
        self.answers += len(out)
        return out


def guarded(model: LiteRtModel) -> Guarded:
    """A model of a file, watched."""
    return Guarded(model.predict, model.id, model.learned)


def probe(model: Guarded) -> None:
    """Forecast for made-up servers, as the agent would: idle, busy, and one not measured.

    Raises:
        DataError: the model gave no forecast.
    """
    before, forecaster = model.answers, Forecaster(model.predict, model.id)
    for k in range(_PROBE_STEPS):
        begin = EPOCH + timedelta(seconds=(10_000 + k) * STEP_S)
        now = begin + timedelta(seconds=STEP_S)
        forecaster.update([_signature(n, k, begin) for n in range(len(_PROBE_LOADS_W))], now, 0.0)
        if model.problem:
            raise DataError(f"probe: {model.problem}")
    if model.answers == before:
        raise DataError(f"probe: {model.id} was asked and gave no answer")


def _signature(n: int, k: int, begin: datetime) -> Signature:
    values = [math.nan] * len(FEATURES)
    values[_CPU] = 50.0 + 40.0 * math.sin(k / (3.0 + n))
    watts = _PROBE_LOADS_W[n] * (1.0 + 0.2 * math.sin(k / (5.0 + n)))
    return Signature(f"probe-{n}", begin, STEP_S, (watts,), tuple(values))
