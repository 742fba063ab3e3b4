"""When to poll: an even beat whose last poll of a step ends just at the step's boundary."""

import math

from wattcast_core.clock import DataClock
from wattcast_core.units import epoch_s, from_epoch_s

LEAD_MAX_SHARE = 0.25


def poll_period_real_s(clock: DataClock, real_s: float, step_s: float, poll_real_s: float) -> float:
    """Real seconds between polls: as wanted, at least two a step, a whole number of them a step."""
    step_real_s = step_s / clock.speed(real_s)
    return step_real_s / math.ceil(step_real_s / min(poll_real_s, step_real_s / 2) - 1e-9)


def next_poll_real_s(
    clock: DataClock, real_s: float, step_s: float, poll_real_s: float, lead_real_s: float
) -> float:
    """Real time of the next poll after ``real_s``.

    Args:
        clock: data clock.
        real_s: now.
        step_s: signature step (data).
        poll_real_s: longest period between polls.
        lead_real_s: how long a poll lasts: the last one of a step starts this much before the end,
            so that its readings belong to the step and are fresh when it closes.
    """
    period = poll_period_real_s(clock, real_s, step_s, poll_real_s)
    lead = min(lead_real_s, LEAD_MAX_SHARE * period)
    boundary_s = (epoch_s(clock.now(real_s)) // step_s + 1) * step_s
    last = clock.real_s(from_epoch_s(boundary_s)) - lead
    beats = math.floor((last - real_s) / period - 1e-9)
    due = last - beats * period
    return due if due > real_s + 1e-6 else due + period
