"""A fixed input, and what a model answered to it where it was trained.

The runtime of another machine must give the same answer before the model serves there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wattcast_core.errors import DataError
from wattcast_core.signal.features import CHANNELS, ModelInput, build
from wattcast_core.signal.quantiles import ordered
from wattcast_core.signal.steps import HISTORY, HORIZON, STEP_S, WINDOW
from wattcast_core.units import FloatArray

ANSWER = "probe"  # key of the metadata
_SERVERS = 3
_STEPS = [0, 2, HORIZON - 1]
_NEAR = 1e-3  # of the answer, or of 1 where that is smaller: processors round differently
_DIGITS = 5


def probe_input() -> ModelInput:
    """Of _SERVERS: power and use that swing, at a fixed time."""
    step, server = np.arange(HISTORY), np.arange(_SERVERS)[:, None]
    swing = np.sin(step / (3.0 + server))
    power_w = 100.0 * (server + 1) + 20.0 * swing
    window = np.full((_SERVERS, WINDOW, len(CHANNELS)), np.nan)
    window[:, :, 0] = power_w[:, -WINDOW:]
    window[:, :, 1] = 50.0 + 40.0 * swing[:, -WINDOW:]
    return build(window, power_w, np.full(_SERVERS, 10_000 * STEP_S))


def answer(scaled: FloatArray) -> list[Any]:
    """What is kept of a model's answer [_SERVERS, HORIZON, 4] to the probe."""
    kept: list[Any] = np.round(ordered(scaled)[:, _STEPS], _DIGITS).tolist()
    return kept


def disagreement(metadata: Mapping[str, Any], scaled: FloatArray) -> str:
    """Why an answer is not the one that was kept; empty if it is, or if none was kept.

    Raises:
        DataError: what was kept is no answer.
    """
    if ANSWER not in metadata:
        return ""
    found = np.array(answer(scaled))
    try:
        wanted = np.array(metadata[ANSWER], np.float64).reshape(found.shape)
    except (ValueError, TypeError) as error:
        raise DataError(f"metadata: '{ANSWER}' holds no answer ({error})") from error
    gap = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1.0)
    if (gap <= _NEAR).all():
        return ""
    return f"answers otherwise than where it was trained, by {float(gap.max()):.2g} of the scale"
