"""Rolling-origin back-test: walk through recorded steps and forecast from each with what came.

The forecaster is handed in: it is the one that is served, with its windows, its calibration and its
choice, so that a back-test has no forecasting code of its own. At step t it is given the signatures
up to t and nothing later; it starts some days before the judged part to have learned its margins.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.signal.features import CHANNELS, STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import FloatArray, epoch_s, from_epoch_s

STEPS_AHEAD = (1, 3, 12)
MINUTES = tuple(round(h * STEP_S / 60.0) for h in STEPS_AHEAD)
_AT = [h - 1 for h in STEPS_AHEAD]
_VALUES = [FEATURES.index(name) for name in CHANNELS[1:]]

Update = Callable[[Iterable[Signature], datetime, float], Sequence[Forecast]]


@dataclass(frozen=True, slots=True)
class Walked:
    """What was served for one level.

    Attributes:
        quantiles_w: [series, origin, len(STEPS_AHEAD), 4], NaN where no forecast was given;
            origin 0 is the panel's ``split``.
        lstm: [series, origin] the LSTM was served, not the naive forecaster.
    """

    quantiles_w: FloatArray
    lstm: NDArray[np.bool_]


def walk(
    panel: Panel,
    level: Level,
    update: Update,
    warm_up: int,
    origins: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Walked:
    """Forecast from every origin of a level.

    Args:
        panel: clock and split.
        level: the series.
        update: of a fresh forecaster.
        warm_up: steps before the split to walk through first.
        origins: steps from the split on.
        progress: called with the number of steps walked.
    """
    shape = (len(level.ids), origins)
    out = np.full((*shape, len(STEPS_AHEAD), len(QUANTILES)), np.nan)
    lstm = np.zeros(shape, bool)
    row_of = {name: row for row, name in enumerate(level.ids)}
    first = max(0, panel.split - warm_up)
    for step in range(first, panel.split + origins):
        begin_s = panel.start_s + step * STEP_S
        now = from_epoch_s(begin_s + STEP_S)
        origin = step - panel.split
        for forecast in update(_signatures(level, step, begin_s), now, epoch_s(now)):
            if origin >= 0:
                row = row_of[forecast.server]
                out[row, origin] = np.array(forecast.quantiles_w)[_AT]
                lstm[row, origin] = forecast.kind is Kind.LSTM
        progress(step - first + 1)
    return Walked(out, lstm)


def _signatures(level: Level, step: int, begin_s: float) -> list[Signature]:
    at = from_epoch_s(begin_s)
    values = np.full((len(level.ids), len(FEATURES)), np.nan)
    values[:, _VALUES] = level.channels[:, step, 1:]
    watts = level.channels[:, step, 0].tolist()
    rows = zip(level.ids, watts, values.tolist(), strict=True)
    return [Signature(name, at, STEP_S, (watt,), tuple(row)) for name, watt, row in rows]
