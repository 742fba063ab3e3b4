"""Conventions that every module keeps.

Power is active power in watts, positive when it flows from the feed to the load. Units stand in
names: power_w, rating_a, horizon_s, carbon_g_per_kwh, price_per_mwh. Times are aware UTC.
``*_s`` without ``real_`` is data time; real seconds say ``real_s``.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
RealArray = NDArray[np.floating[Any]]  # of any precision

EPOCH = datetime.fromtimestamp(0, UTC)


def epoch_s(at: datetime) -> float:
    """Seconds since 1970-01-01 UTC."""
    return at.timestamp()


def from_epoch_s(seconds: float) -> datetime:
    """Aware UTC time of seconds since 1970-01-01."""
    return datetime.fromtimestamp(seconds, UTC)


def step_floor(at: datetime, step_s: float) -> datetime:
    """Start of the step that holds ``at`` (steps are aligned to the epoch)."""
    return from_epoch_s(at.timestamp() // step_s * step_s)
