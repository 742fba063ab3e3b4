"""Online conformal calibration: margins that make quantiles cover as often as they say.

Per series, horizon and quantile, an additive margin follows the misses: after each actual it moves
up by rate * level if the actual lay above, down by rate * (1 - level) if at or below. In the long
run the share of actuals at or below is the level, whatever the series does (Gibbs and Candes 2021,
"Adaptive conformal inference under distribution shift"; the form is that of quantile tracking in
Angelopoulos, Candes and Tibshirani 2023, "Conformal PID control"). A second margin, common to all
series that are forecast together, learns from all their misses at once: what all have in common, a
model that is too sure or a season it never saw, is mended sooner than by each alone. Margins are in
units of the forecast's usual spread, its mean over the past day (the spread of the moment would
blow them up just when the forecast is wide already), and bounded: calibration corrects a forecast,
it never replaces it. A series that is new is followed faster at first, and near steps faster than
far ones, whose forecasts overlap so that their misses come in runs.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import LEVELS, ordered
from wattcast_core.signal.steps import DAY, HORIZON
from wattcast_core.units import FloatArray

BOUND = 3.0
_EAGER = 3.0  # times the rate more at the beginning; half of it after a day
_LOW, _HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)
_LEAST_SPREAD_W = 0.1


@dataclass(frozen=True, slots=True)
class Rates:
    """A step a miss at the end of the horizon, by level, in spreads. The median is left alone.

    Attributes:
        own: of a series' own margin.
        common: of the common margin, times the root of the number of series.
    """

    own: tuple[float, ...]
    common: tuple[float, ...]


# Small ones: on a spiky server a fast margin swamps the forecast. A sum is smooth and follows its
# level faster; the far tail, which misses rarely, must move further at each miss.
SERVERS = Rates((0.0012, 0.0, 0.0012, 0.0024), (0.001, 0.0, 0.001, 0.0005))
SUMS = Rates((0.005, 0.0, 0.005, 0.01), (0.0, 0.0, 0.0, 0.0))


_FASTER = np.sqrt(HORIZON / np.arange(1, HORIZON + 1))[:, None]


def _zero() -> FloatArray:
    return np.zeros((HORIZON, len(LEVELS)))


@dataclass(slots=True)
class Margins:
    """What calibration has learned; rows are series, new ones append.

    Attributes:
        rates: how fast it learns.
        own: [series, HORIZON, 4].
        common: [HORIZON, 4].
        count: [series, HORIZON] actuals learned from.
        usual_w: [series, HORIZON] mean spread of the forecasts of the past day.
        covered: [series, HORIZON, 4] share of the past day's actuals at or below each quantile.
    """

    rates: Rates = SERVERS
    own: FloatArray = field(default_factory=lambda: np.zeros((0, HORIZON, len(LEVELS))))
    common: FloatArray = field(default_factory=_zero)
    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, HORIZON), np.int64))
    usual_w: FloatArray = field(default_factory=lambda: np.zeros((0, HORIZON)))
    covered: FloatArray = field(default_factory=lambda: np.zeros((0, HORIZON, len(LEVELS))))

    def applied(self, quantiles_w: FloatArray) -> FloatArray:
        """Quantiles [series, HORIZON, 4] in watts moved by the margins, in order."""
        missing = len(quantiles_w) - len(self.own)
        if missing > 0:
            self.own = np.concatenate([self.own, np.zeros((missing, HORIZON, len(LEVELS)))])
            self.count = np.concatenate([self.count, np.zeros((missing, HORIZON), np.int64)])
            nominal = np.tile(LEVELS, (missing, HORIZON, 1))
            self.usual_w = np.concatenate([self.usual_w, np.zeros((missing, HORIZON))])
            self.covered = np.concatenate([self.covered, nominal])
        usual_w = self.usual_w[: len(quantiles_w)]
        unit_w = np.where(usual_w > 0, usual_w, _spread_w(quantiles_w))[..., None]
        margin = np.clip(self.own[: len(quantiles_w)] + self.common, -BOUND, BOUND)
        return ordered(quantiles_w + margin * unit_w)

    def note(self, quantiles_w: FloatArray) -> None:
        """Remember how wide the forecasts of a step were: as given to ``applied``, once a step."""
        spread_w, rows = _spread_w(quantiles_w), slice(0, len(quantiles_w))
        weight = np.isfinite(spread_w) / np.clip(self.count[rows] + 1, 1, DAY)
        self.usual_w[rows] += weight * (np.nan_to_num(spread_w) - self.usual_w[rows])

    def learn(self, actual_w: FloatArray, served_w: FloatArray) -> None:
        """Follow what came.

        Args:
            actual_w: [series] NaN where not known: nothing is learned there.
            served_w: [series, HORIZON, 4] the calibrated quantiles that were meant for it, each
                step of the horizon issued at another time; NaN where there were none.
        """
        known = np.isfinite(actual_w)[:, None] & np.isfinite(served_w).all(axis=2)
        rows = slice(0, len(known))
        above = actual_w[:, None, None] > served_w
        missed = np.where(known[..., None], above - (1.0 - LEVELS), 0.0)
        eager = 1.0 + _EAGER / (1.0 + self.count[rows] / DAY)
        moved = self.own[rows] + eager[..., None] * _FASTER * np.array(self.rates.own) * missed
        self.own[rows] = np.clip(moved, -BOUND, BOUND)
        self.count[rows] += known
        weight = known / np.clip(self.count[rows], 1, DAY)
        self.covered[rows] += weight[..., None] * (~above - self.covered[rows])
        root = np.sqrt(np.maximum(known.sum(axis=0), 1))[:, None]
        together = np.array(self.rates.common) * missed.sum(axis=0) / root
        self.common = np.clip(self.common + together, -BOUND, BOUND)


def _spread_w(quantiles_w: FloatArray) -> FloatArray:
    spread_w: FloatArray = np.maximum(
        quantiles_w[..., _HIGH] - quantiles_w[..., _LOW], _LEAST_SPREAD_W
    )
    return spread_w
