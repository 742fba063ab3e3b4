"""Whether a model's inputs lie where it learned, and what to do where they do not."""

from dataclasses import dataclass

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import CONTEXT, Float32Array
from wattcast_core.units import FloatArray

MOST = 1.0  # ranges beyond the range: farther out the model's answer is not used
_SLACK = 0.05  # ranges: so far outside is still inside
_MEDIAN = QUANTILES.index(0.5)


@dataclass(frozen=True, slots=True)
class Range:
    """What each input of CONTEXT was between when the model learned.

    Attributes:
        low, high: [len(CONTEXT)].
    """

    low: FloatArray
    high: FloatArray

    def strangeness(self, context: Float32Array) -> tuple[FloatArray, list[str]]:
        """How far each row lies outside, in widths of the range, and by which input.

        Args:
            context: [series, len(CONTEXT)].

        Returns:
            [series] 0 inside, and the name of the input that lies farthest out.
        """
        width = np.maximum(self.high - self.low, 1e-6)
        outside = np.maximum(self.low - context, context - self.high) / width
        beyond = np.maximum(outside - _SLACK, 0.0)
        worst = beyond.argmax(axis=1)
        return beyond[np.arange(len(worst)), worst], [CONTEXT[k] for k in worst.tolist()]


def widened(quantiles_w: FloatArray, strangeness: FloatArray) -> FloatArray:
    """Quantiles [series, horizon, 4] away from their median: twice as far a width outside."""
    median = quantiles_w[..., _MEDIAN : _MEDIAN + 1]
    return median + (quantiles_w - median) * (1.0 + strangeness[:, None, None])
