"""The reason a forecast carries: a code, and words for an operator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattcast_core.forecast import Code
from wattcast_core.signal.choice import Choice
from wattcast_core.signal.familiar import MOST
from wattcast_core.units import RealArray


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is amiss at each server, [server] each.

    Attributes:
        age_steps: steps since power was measured.
        strange: how far outside the model's range its inputs lie; by: the worst input.
        step_w: watts by which power has just stepped; 0 = it has not.
        rise_w: watts by which a steady rise goes on in the next step; 0 = there is none.
    """

    age_steps: NDArray[np.int64]
    strange: RealArray
    by: Sequence[str]
    step_w: RealArray
    rise_w: RealArray


def explained(choice: Choice, doubts: Doubts, row: int) -> str:
    """``code: words``."""
    age, strange = doubts.age_steps[row], doubts.strange[row]
    step_w, rise_w = doubts.step_w[row], doubts.rise_w[row]
    told: list[tuple[Code, str]] = []
    if age:
        told.append((Code.STALE, f"power not measured for {age} steps: from the last good value"))
    if strange > 0:
        act = "not used" if strange > MOST else f"{1.0 + strange:.2g} times as wide"
        words = f"{doubts.by[row]} lies outside what the LSTM learned from: it is {act}"
        told.append((Code.UNFAMILIAR, words))
    if step_w:
        told.append((Code.STEP, f"power has stepped {step_w:+.0f} W out of its day"))
    if rise_w:
        told.append((Code.RISE, f"power climbs steadily, {rise_w:.0f} W a step: kept up with"))
    code = told[0][0] if told else Code(choice.kind)
    words = "; ".join([*(words for _, words in told), f"{choice.kind}: {choice.reason}"])
    return f"{code}: {words}" if told else words
