"""Which forecaster is served: the LSTM, unless it has lost clearly more than the naive one lately.

A calibrated model that was better for days is not dropped for one bad hour: it gives way only when
its trailing loss is WORSE times that of the naive forecaster, and is taken back when it is not.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wattcast_core.forecast import Kind
from wattcast_core.units import FloatArray

KINDS = (Kind.LSTM, Kind.NAIVE)
LEAST_ISSUES = 6
WORSE = 1.25
_MEMORY = 288.0  # steps: of the trailing mean


@dataclass(frozen=True, slots=True)
class Choice:
    """The forecaster to serve a series and why, for an operator."""

    kind: Kind
    reason: str


@dataclass(slots=True)
class Record:
    """Trailing losses of both forecasters; rows are series, new ones append.

    Attributes:
        loss_w: [kind, series] trailing mean pinball loss, over all steps of the horizon.
        count: [series] steps judged so far.
    """

    loss_w: FloatArray = field(default_factory=lambda: np.zeros((len(KINDS), 0)))
    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, losses_w: FloatArray) -> None:
        """Judge one more step: losses [kind, series], NaN where one of them is not known."""
        missing = losses_w.shape[1] - len(self.count)
        if missing > 0:
            self.count = np.concatenate([self.count, np.zeros(missing, np.int64)])
            self.loss_w = np.concatenate([self.loss_w, np.zeros((len(KINDS), missing))], axis=1)
        known = np.flatnonzero(np.isfinite(losses_w).all(axis=0))
        self.count[known] += 1
        weight = 1.0 / np.minimum(self.count[known], _MEMORY)
        self.loss_w[:, known] += weight * (losses_w[:, known] - self.loss_w[:, known])

    def choices(self) -> list[Choice]:
        """The forecaster to serve, a series."""
        lstm, naive = self.loss_w.tolist()
        return [choose(*row) for row in zip(lstm, naive, self.count.tolist(), strict=True)]


def choose(lstm_w: float, naive_w: float, issues: int) -> Choice:
    """Choose by trailing pinball in watts over ``issues`` forecasts that both made."""
    if issues < LEAST_ISSUES:
        why = f"the LSTM is judged on {issues} steps so far, {LEAST_ISSUES} are needed"
        return Choice(Kind.NAIVE, why)
    kind = Kind.LSTM if lstm_w <= WORSE * naive_w else Kind.NAIVE
    losses = f"LSTM {lstm_w:.3g} W, naive {naive_w:.3g} W"
    return Choice(kind, f"trailing pinball {losses} over {min(issues, round(_MEMORY))} steps")
