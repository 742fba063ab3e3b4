"""Which forecaster is served: the one whose recent forecasts lost less."""

from dataclasses import dataclass

import numpy as np

from wattcast_core.forecast import Kind
from wattcast_core.units import FloatArray

LEAST_ISSUES = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """The forecaster to serve a server and why, for an operator."""

    kind: Kind
    reason: str


def trailing(losses_w: FloatArray) -> FloatArray:
    """Mean over what is known of [server, issue, horizon] losses: first a horizon, then over all.

    Far horizons are known later; taking each one's own mean first keeps them from weighing less.
    """
    known = np.isfinite(losses_w)
    count = known.sum(axis=1)
    mean = np.where(known, losses_w, 0.0).sum(axis=1) / np.maximum(count, 1)
    seen = count > 0
    total = np.where(seen, mean, 0.0).sum(axis=1)
    return np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)


def choose(lstm_w: float, naive_w: float, issues: int) -> Choice:
    """Choose by trailing pinball in watts over ``issues`` forecasts that both made.

    NaN means that forecaster cannot be judged.
    """
    if issues < LEAST_ISSUES or not np.isfinite(lstm_w):
        return Choice(
            Kind.NAIVE,
            f"naive: the LSTM is judged on {issues} issues so far, {LEAST_ISSUES} are needed",
        )
    lower, higher = (Kind.LSTM, Kind.NAIVE) if lstm_w <= naive_w else (Kind.NAIVE, Kind.LSTM)
    ours, theirs = (lstm_w, naive_w) if lower is Kind.LSTM else (naive_w, lstm_w)
    reason = f"{lower}: trailing pinball {ours:.3g} W against {theirs:.3g} W {higher}"
    return Choice(lower, f"{reason} over {issues} issues")
