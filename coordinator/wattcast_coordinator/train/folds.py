"""Blocks of time that members of an ensemble leave out in turn.

A member's answer on what it left out is an honest forecast: early stopping is judged by it, and the
network of sums learns from the servers' forecasts that way. A block is days long, so that what is
left out has nothing in common with its neighbours but the edges.
"""

import numpy as np
from numpy.typing import NDArray

from wattcast_core.signal.steps import DAY

MEMBERS = 3
_BLOCK = 4 * DAY
_LEAST_ROUNDS = 2  # of all members, where a panel is short


def fold_of(step: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """The member, 0..MEMBERS - 1, that leaves each step out, of ``steps`` steps in all."""
    block = max(1, min(_BLOCK, steps // (MEMBERS * _LEAST_ROUNDS)))
    fold: NDArray[np.int64] = step // block % MEMBERS
    return fold
