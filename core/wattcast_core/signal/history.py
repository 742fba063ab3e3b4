"""A week of power of some series, on the model's steps: what the seasons are read from.

Steps end at multiples of STEP_S since the epoch. A view may end between two of them; what lies
before the window is then off by less than a step.
"""

from dataclasses import dataclass, field

import numpy as np

from wattcast_core.signal.features import Float32Array
from wattcast_core.signal.steps import HISTORY, STEP_S
from wattcast_core.units import RealArray


@dataclass(slots=True)
class History:
    """Rows are series; new ones append.

    Attributes:
        end_s: epoch seconds at which the newest recorded step ends; 0 before the first.
        power_w: [series, HISTORY], NaN = not measured.
    """

    end_s: float = 0.0
    power_w: Float32Array = field(default_factory=lambda: np.empty((0, HISTORY), np.float32))

    def record(self, end_s: float, newest_w: RealArray) -> None:
        """Take the newest steps of all series; what is NaN in them does not erase what is known.

        Args:
            end_s: at which the last of them ends, on a model step; steps older than the newest
                recorded one are corrected (readings may come late).
            newest_w: [series, steps].
        """
        self.power_w = self._ending(end_s, newest_w)
        self.end_s = end_s

    def view(self, end_s: float, newest_w: RealArray) -> Float32Array:
        """[series, HISTORY] as it would be recorded, ending at any time after ``end_s``."""
        return self._ending(end_s, newest_w)

    def _ending(self, end_s: float, newest_w: RealArray) -> Float32Array:
        passed = int(np.clip((end_s - self.end_s) // STEP_S, 0, HISTORY)) if self.end_s else 0
        out = np.full((len(newest_w), HISTORY), np.nan, np.float32)
        out[: len(self.power_w), : HISTORY - passed] = self.power_w[:, passed:]
        tail = out[:, -newest_w.shape[1] :]
        known = np.isfinite(newest_w)
        tail[known] = newest_w[known]
        return out
