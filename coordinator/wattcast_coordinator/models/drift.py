"""Whether forecasts have become worse than they were: a sequential test with hysteresis. Pure.

Two one-sided CUSUMs (Page, Biometrika 1954) a series of observations, one observation a step: of
the logarithm of the loss, relative to what it was in the reference steps, and of what the 0.9
quantile covers too little. A sum rises only by what exceeds its slack, so that noise around the
usual does not add up; it raises the alarm at RAISE and lifts it only below CLEAR.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import coverage, pinball
from wattcast_core.units import FloatArray

_Q90 = QUANTILES.index(0.9)
_LEAST_SHARE = 1e-3  # of power: no meter tells less
REFERENCE_STEPS = 288  # a day, from which the usual loss is taken
LOSS_SLACK, COVERAGE_SLACK = 0.25, 0.05
RAISE, CLEAR = 16.0, 4.0  # of the loss's sum; of coverage's, in tenths
_MOST = 24.0  # a sum rises no higher: it must come down again in a few hours
_CLIP = 1.0  # one wild step counts no more


@dataclass(frozen=True, slots=True)
class Observation:
    """One step of one application.

    Attributes:
        loss: mean pinball, as a share of the mean distance between power and what it was when the
            forecast was made: a load that grows, or a lively hour, is no drift.
        coverage90: share of servers and horizons at or below their 0.9 quantile.
    """

    loss: float
    coverage90: float


@dataclass(frozen=True, slots=True)
class Drift:
    """State of the test.

    Attributes:
        steps: observed.
        log_usual: mean of the logarithm of the loss over the reference steps.
        loss_sum, coverage_sum: the CUSUMs.
        alarm: raised and not yet lifted.
    """

    steps: int = 0
    log_usual: float = 0.0
    loss_sum: float = 0.0
    coverage_sum: float = 0.0
    alarm: bool = False

    def why(self) -> str:
        """Of an alarm, for an operator."""
        told = []
        if self.loss_sum >= CLEAR:
            told.append(f"loss above what is usual (sum {self.loss_sum:.1f})")
        if self.coverage_sum >= CLEAR:
            told.append(f"q90 covers too little (sum {self.coverage_sum:.1f})")
        return " and ".join(told)


def observe(quantiles_w: FloatArray, actual_w: FloatArray, before_w: FloatArray) -> Observation:
    """The observation of a step.

    Args:
        quantiles_w: [n, 4] of the forecasts for it.
        actual_w: [n] what came.
        before_w: [n] what was measured when they were made.
    """
    away_w = np.maximum(np.abs(actual_w - before_w), _LEAST_SHARE * np.abs(actual_w))
    loss = float(pinball(actual_w, quantiles_w).mean()) / max(float(away_w.mean()), 1e-9)
    return Observation(loss, float(coverage(actual_w, quantiles_w)[_Q90]))


def advance(state: Drift, seen: Observation) -> Drift:
    """Take one step's observation; what is not finite, or no loss at all, is passed over."""
    if not (seen.loss > 0 and math.isfinite(seen.loss) and math.isfinite(seen.coverage90)):
        return state
    log_loss, steps = math.log(seen.loss), state.steps + 1
    if steps <= REFERENCE_STEPS:
        usual = state.log_usual + (log_loss - state.log_usual) / steps
        return replace(state, steps=steps, log_usual=usual)
    over = max(-_CLIP, min(_CLIP, log_loss - state.log_usual)) - LOSS_SLACK
    under = 10.0 * (0.9 - seen.coverage90 - COVERAGE_SLACK)
    loss_sum = min(_MOST, max(0.0, state.loss_sum + over))
    coverage_sum = min(_MOST, max(0.0, state.coverage_sum + max(-_CLIP, min(_CLIP, under))))
    highest = max(loss_sum, coverage_sum)
    alarm = highest >= (CLEAR if state.alarm else RAISE)
    return Drift(steps, state.log_usual, loss_sum, coverage_sum, alarm)
