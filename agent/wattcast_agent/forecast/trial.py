"""A new forecaster against the one before, on the same servers and steps. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import numpy as np

from wattcast_core.forecast import Forecast
from wattcast_core.signal.quantiles import pinball
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.signature import Signature
from wattcast_core.units import epoch_s

ISSUES = 24  # judged before the verdict: two hours
_EARLY_ISSUES, _EARLY_MARGIN = 6, 0.5  # so bad that two hours need not pass
MARGIN = 0.1  # a loss higher by less is chance

_Pair = tuple[str, float]  # server, epoch seconds


class Trial:
    """Losses of two forecasters so far; each step counts once it has passed.

    Attributes:
        issues: moments of issue whose first step ahead is judged.
        loss_w: mean pinball of the new one and of the one before.
    """

    def __init__(self) -> None:
        self.issues = 0
        self._served: dict[_Pair, np.ndarray] = {}
        self._sums: defaultdict[_Pair, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._total_w, self._count = np.zeros(2), 0

    @property
    def loss_w(self) -> tuple[float, float]:
        """Watts; NaN before anything is judged."""
        new, old = self._total_w / self._count if self._count else (float("nan"),) * 2
        return float(new), float(old)

    def take(
        self,
        signatures: Iterable[Signature],
        new: Iterable[Forecast],
        old: Iterable[Forecast],
        now: datetime,
    ) -> None:
        """What was measured up to ``now``, and what both forecast at ``now``."""
        for signature in signatures:
            if np.isfinite(signature.power_w):
                step_s = epoch_s(signature.at) // STEP_S * STEP_S
                total = self._sums[signature.server, step_s]
                total[0] += signature.power_w
                total[1] += 1.0
        self._judge(epoch_s(now))
        before = {forecast.server: forecast for forecast in old}
        for forecast in new:
            other, at_s = before.get(forecast.server), epoch_s(forecast.issued_at)
            if other is not None and other.issued_at == forecast.issued_at and at_s % STEP_S == 0:
                both = np.array([forecast.quantiles_w, other.quantiles_w])
                self._served[forecast.server, at_s] = both

    def verdict(self) -> str | None:
        """Empty: as good as before or better. Else why it is worse; None: not yet known."""
        new_w, old_w = self.loss_w
        over = new_w / max(old_w, 1e-9) - 1.0
        early = self.issues >= _EARLY_ISSUES and over > _EARLY_MARGIN
        if self.issues < ISSUES and not early:
            return None
        if over <= MARGIN:
            return ""
        return f"lost {new_w:.3g} W where the one before lost {old_w:.3g} W, {self.issues} issues"

    def _judge(self, now_s: float) -> None:
        """Count the steps that have passed."""
        passed = [(server, step_s) for server, step_s in self._sums if step_s + STEP_S <= now_s]
        first = False
        for server, step_s in passed:
            total, count = self._sums.pop((server, step_s))
            for ahead in range(HORIZON):
                both = self._served.get((server, step_s - ahead * STEP_S))
                if both is not None:
                    at = both[:, ahead]
                    losses = pinball(np.full(2, total / count), at).mean(axis=1)
                    self._total_w, self._count = self._total_w + losses, self._count + 1
                    first = first or ahead == 0
        self.issues += first
        oldest_s = now_s - (HORIZON + 1) * STEP_S
        self._served = {key: both for key, both in self._served.items() if key[1] >= oldest_s}
