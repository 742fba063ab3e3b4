"""Online conformal calibration: margins that make quantiles cover as often as they say.

Per server, horizon and quantile, an additive margin follows the misses: after each actual it moves
up by rate * level if the actual lay above, down by rate * (1 - level) if at or below. In the long
run the share of actuals at or below is the level, whatever the series does (Gibbs and Candes 2021,
"Adaptive conformal inference under distribution shift"; the form is that of quantile tracking in
Angelopoulos, Candes and Tibshirani 2023, "Conformal PID control"). Margins are in units of the
server's scale and bounded: calibration corrects a forecast, it never replaces it.
"""

import numpy as np

from wattcast_core.signal.quantiles import LEVELS, ordered
from wattcast_core.units import FloatArray

# A step a miss, by level. Small ones: on a spiky server a fast margin swamps the forecast. The
# median is left alone, and the far tail, which misses rarely, must move further at each miss.
RATES = np.array((0.006, 0.0, 0.006, 0.02))
BOUND = 3.0


def start(servers: int, horizon: int) -> FloatArray:
    """Margins of 0: [server, horizon, 4]."""
    return np.zeros((servers, horizon, len(LEVELS)))


def calibrated(quantiles_w: FloatArray, margins: FloatArray, scale_w: FloatArray) -> FloatArray:
    """Quantiles [server, horizon, 4] in watts moved by their margins, in order."""
    return ordered(quantiles_w + margins * scale_w[:, None, None])


def learned(margins: FloatArray, actual_w: FloatArray, served_w: FloatArray) -> FloatArray:
    """Margins after some actuals.

    Args:
        margins: [..., 4] before.
        actual_w: [...] NaN where not (yet) known: that margin stays.
        served_w: [..., 4] the calibrated quantiles that were meant for these actuals.
    """
    above = actual_w[..., None] > served_w
    moved = margins + RATES * (above - (1.0 - LEVELS))
    known = np.isfinite(actual_w)[..., None] & np.isfinite(served_w)
    return np.where(known, np.clip(moved, -BOUND, BOUND), margins)
