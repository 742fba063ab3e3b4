"""A probabilistic forecast of one server's power."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

QUANTILES = (0.1, 0.5, 0.9, 0.99)


class Kind(StrEnum):
    """Which forecaster was served."""

    LSTM = "lstm"
    NAIVE = "naive"


class Code(StrEnum):
    """Why a forecast is as it is; the first that holds, most doubtful first."""

    STALE = "stale"  # from the last good reading: power was not measured just now
    UNFAMILIAR = "unfamiliar"  # an input lies outside what the model learned: wider, or naive
    STEP = "step"  # power has just left all it did in a day
    RISE = "rise"  # power climbs steadily: the median keeps up with it
    LSTM = "lstm"
    NAIVE = "naive"  # no model, a failing one, or one that was worse lately


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quantiles of power over the horizon.

    Attributes:
        server: server id.
        issued_at: data time of issue; row h is for ``issued_at + (h + 1) * step_s``.
        step_s: step of the horizon.
        quantiles_w: [H][4] watts at QUANTILES, not decreasing along a row.
        kind: the forecaster that was served.
        reason: begins with a Code and a colon; then the trailing pinball of both forecasters, or
            what is amiss, in words.
        model_id: id of the LSTM, or ``naive``.
        sampled_real_s: real time (epoch s) at which the newest reading used was taken.
    """

    server: str
    issued_at: datetime
    step_s: float
    quantiles_w: tuple[tuple[float, ...], ...]
    kind: Kind
    reason: str
    model_id: str
    sampled_real_s: float

    @property
    def code(self) -> Code:
        """The reason's code."""
        head = self.reason.split(":", 1)[0]
        return Code(head) if head in set(Code) else Code(self.kind)
