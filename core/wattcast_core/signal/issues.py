"""Forecasts that are still to be judged by what comes."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.units import FloatArray


class Issue(NamedTuple):
    """Forecasts of one moment.

    Attributes:
        end_s: epoch seconds of issue.
        quantiles_w: [forecaster, series, HORIZON, 4].
    """

    end_s: float
    quantiles_w: FloatArray


def issued_for(end_s: float, issues: Collection[Issue]) -> FloatArray:
    """[forecaster, series, HORIZON, 4] meant for the step that ends at ``end_s``.

    Step h of the horizon is what was said h + 1 steps before; NaN where nothing was. Series that
    came later than an issue are NaN in it.
    """
    kinds = max(len(issue.quantiles_w) for issue in issues)
    series = max(issue.quantiles_w.shape[1] for issue in issues)
    out = np.full((kinds, series, HORIZON, 4), np.nan)
    for issue in issues:
        step = round((end_s - issue.end_s) / STEP_S) - 1
        if 0 <= step < HORIZON:
            out[:, : issue.quantiles_w.shape[1], step] = issue.quantiles_w[:, :, step]
    return out
