"""What was forecast before, against what came: margins and trailing losses of both forecasters.

Arrays begin with the forecaster's axis: 0 = LSTM, 1 = naive. Rows are servers; new servers append.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from wattcast_core.forecast import QUANTILES, Kind
from wattcast_core.signal import choice, conformal
from wattcast_core.signal.features import HORIZON, STEP_S
from wattcast_core.signal.quantiles import pinball
from wattcast_core.units import FloatArray

KINDS = (Kind.LSTM, Kind.NAIVE)
ISSUES = 36  # of which the last 12 are still being judged: the trail is 2 to 3 hours


@dataclass(frozen=True, slots=True)
class Issue:
    """Forecasts of one moment and their losses so far.

    Attributes:
        end_s: epoch seconds of issue.
        quantiles_w: [kind, server, HORIZON, 4].
        scale_w: [server].
        losses_w: [kind, server, HORIZON], NaN until the actual is known; filled in place.
    """

    end_s: float
    quantiles_w: FloatArray
    scale_w: FloatArray
    losses_w: FloatArray


@dataclass(slots=True)
class Trail:
    """The last ISSUES issues and the conformal margins learned from them."""

    margins: FloatArray = field(
        default_factory=lambda: np.zeros((len(KINDS), 0, HORIZON, len(QUANTILES)))
    )
    issues: deque[Issue] = field(default_factory=lambda: deque(maxlen=ISSUES))

    def calibrated(self, raw_w: FloatArray, scale_w: FloatArray) -> FloatArray:
        """Move [kind, server, HORIZON, 4] by the margins; never below 0 W."""
        missing = raw_w.shape[1] - self.margins.shape[1]
        if missing > 0:
            fresh = np.zeros((len(KINDS), missing, HORIZON, len(QUANTILES)))
            self.margins = np.concatenate([self.margins, fresh], axis=1)
        pairs = zip(raw_w, self.margins, strict=True)
        return np.maximum(
            np.stack([conformal.calibrated(raw, margin, scale_w) for raw, margin in pairs]), 0.0
        )

    def record(self, end_s: float, quantiles_w: FloatArray, scale_w: FloatArray) -> None:
        """Keep an issue to judge it by what comes."""
        losses = np.full(quantiles_w.shape[:3], np.nan)
        self.issues.append(Issue(end_s, quantiles_w, scale_w, losses))

    def judge(self, end_s: float, actual_w: FloatArray) -> None:
        """Judge what was forecast for the step ending at ``end_s``: actual [server], NaN = gap."""
        for issue in self.issues:
            h = round((end_s - issue.end_s) / STEP_S) - 1
            servers = issue.quantiles_w.shape[1]
            if 0 <= h < HORIZON and abs(issue.end_s + (h + 1) * STEP_S - end_s) < 1.0:
                actual = np.broadcast_to(actual_w[:servers], (len(KINDS), servers))
                served = issue.quantiles_w[:, :, h]
                issue.losses_w[:, :, h] = pinball(actual, served).mean(axis=-1)
                margins = self.margins[:, :servers, h]
                self.margins[:, :servers, h] = conformal.learned(margins, actual, served)

    def choices(self, servers: int) -> list[choice.Choice]:
        """The forecaster to serve, a server; both are judged on the same issues."""
        losses = np.full((len(KINDS), servers, len(self.issues), HORIZON), np.nan)
        for k, issue in enumerate(self.issues):
            losses[:, : issue.losses_w.shape[1], k] = issue.losses_w
        losses[:, np.isnan(losses).any(axis=0)] = np.nan
        judged = np.isfinite(losses[0]).any(axis=2).sum(axis=1)
        lstm, naive = (choice.trailing(of_kind) for of_kind in losses)
        return [choice.choose(*pair) for pair in zip(lstm, naive, judged.tolist(), strict=True)]
