"""What Wattcast's forecaster says of every machine at every step, once for all rooms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import FloatArray, from_epoch_s
from wattcast_tools.capacity.pool import IDLE_W, RANGE_W, Pool

_MEDIAN, _Q90, _Q99 = (QUANTILES.index(q) for q in (0.5, 0.9, 0.99))
_Z90, _Z99 = 1.2816, 2.3263
_LEAST_SIGMA = 1e-4  # of the server's range
_FEATURES = [FEATURES.index(name) for name in CHANNELS[1:]]


@dataclass(frozen=True, slots=True)
class Foresight:
    """Forecasts of use; row h of step t is for step t + 1 + h.

    Attributes:
        mean, sigma: [machine, step, HORIZON], of the server's range; before the first forecast
            the present value and a deviation of a tenth.
    """

    mean: FloatArray
    sigma: FloatArray


def forecast(pool: Pool, first: int, last: int, progress: Callable[[int], None]) -> Foresight:
    """Walk the agent's forecaster through the pool's steps ``first`` to ``last``.

    The deviation is read off the 0.9 and 0.99 quantile as the coordinator does.
    """
    model = LiteRtModel(BASE_MODEL, BASE_MANIFEST)
    forecaster = Forecaster(model.predict, model.id, learned=model.learned)
    mean = np.repeat(pool.use[:, :, None], HORIZON, axis=2)
    sigma = np.full(mean.shape, 0.1)
    for step in range(first, last):
        at = from_epoch_s(pool.start_s + step * STEP_S)
        now = at + timedelta(seconds=STEP_S)
        for issued in forecaster.update(_signatures(pool, step), now, 0.0):
            table = np.array(issued.quantiles_w)
            above = table - table[:, [_MEDIAN]]
            row = int(issued.server)
            mean[row, step] = np.clip((table[:, _MEDIAN] - IDLE_W) / RANGE_W, 0.0, 1.0)
            spread_w = 0.5 * (above[:, _Q90] / _Z90 + above[:, _Q99] / _Z99)
            sigma[row, step] = np.maximum(spread_w / RANGE_W, _LEAST_SIGMA)
        progress(step - first + 1)
    return Foresight(mean, sigma)


def _signatures(pool: Pool, step: int) -> list[Signature]:
    at = from_epoch_s(pool.start_s + step * STEP_S)
    out = []
    for row, channels in enumerate(pool.channels[:, step]):
        values = np.full(len(FEATURES), np.nan)
        values[_FEATURES] = channels[1:]
        out.append(Signature(str(row), at, STEP_S, (float(channels[0]),), tuple(values.tolist())))
    return out
