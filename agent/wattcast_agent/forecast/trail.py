"""What was forecast before, against what came: margins and trailing losses of both forecasters.

Arrays begin with the forecaster's axis: 0 = LSTM, 1 = naive. Rows are servers; new servers append.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from wattcast_core.signal.choice import KINDS, Choice, Record
from wattcast_core.signal.conformal import Margins
from wattcast_core.signal.issues import Issue, issued_for
from wattcast_core.signal.quantiles import pinball
from wattcast_core.signal.steps import HORIZON
from wattcast_core.units import FloatArray


@dataclass(slots=True)
class Trail:
    """The issues that are still being judged, and what was learned from all before."""

    margins: tuple[Margins, ...] = field(default_factory=lambda: tuple(Margins() for _ in KINDS))
    record: Record = field(default_factory=Record)
    issues: deque[Issue] = field(default_factory=lambda: deque(maxlen=HORIZON))

    def calibrated(self, raw_w: FloatArray) -> FloatArray:
        """Move [kind, server, HORIZON, 4] by the margins; never below 0 W."""
        pairs = zip(self.margins, raw_w, strict=True)
        return np.maximum(np.stack([margins.applied(raw) for margins, raw in pairs]), 0.0)

    def issue(self, end_s: float, raw_w: FloatArray, quantiles_w: FloatArray) -> None:
        """Keep forecasts of a step, as calibrated, to judge them by what comes."""
        for margins, raw in zip(self.margins, raw_w, strict=True):
            margins.note(raw)
        self.issues.append(Issue(end_s, quantiles_w))

    def judge(self, end_s: float, actual_w: FloatArray) -> None:
        """Judge what was forecast for the step ending at ``end_s``: actual [server], NaN = gap."""
        if not self.issues:
            return
        meant = issued_for(end_s, self.issues)
        actual = actual_w[: meant.shape[1]]
        for margins, served in zip(self.margins, meant, strict=True):
            margins.learn(actual, served)
        losses = pinball(np.broadcast_to(actual[None, :, None], meant.shape[:3]), meant).mean(
            axis=-1
        )
        losses[:, np.isnan(losses).any(axis=0)] = np.nan  # both are judged on the same steps
        known = np.isfinite(losses)
        count = known.sum(axis=2)
        total = np.where(known, losses, 0.0).sum(axis=2)
        self.record.add(np.where(count > 0, total / np.maximum(count, 1), np.nan))

    def choices(self, servers: int) -> list[Choice]:
        """The forecaster to serve, a server."""
        self.record.add(np.full((len(KINDS), servers), np.nan))  # rows for new servers
        return self.record.choices()
