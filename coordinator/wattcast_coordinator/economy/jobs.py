"""Deferrable workloads of the grid file: when each should run in its next window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from wattcast_configs.grid import Job, day_s
from wattcast_coordinator.economy.deferral import Slot, Start, starts
from wattcast_core.units import FloatArray

STEP_S = 900.0
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What bounds and prices a job where it runs.

    Attributes:
        hourly_per_kwh: [K] money in the coming hours.
        spare_w: watts before any limit of its feeds, also after any loss.
        meter_w, peak_w: present load and the month's peak of its meter.
        charge_per_kw: demand charge there.
    """

    hourly_per_kwh: FloatArray
    spare_w: float
    meter_w: float = 0.0
    peak_w: float = float("inf")
    charge_per_kw: float = 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """When to begin a job.

    Attributes:
        begin: None = its window has no time with the power to spare, or lies beyond the prices.
        cost: money then; ``at_once``: money if it began as soon as it may.
    """

    workload: str
    begin: datetime | None
    cost: float
    at_once: float


def advise(
    jobs: Sequence[Job], now: datetime, around: Mapping[str, Surroundings]
) -> tuple[Advice, ...]:
    """The cheapest begin of each job whose surroundings are known.

    A job is looked at in its window that is open, or comes next. Power to spare is what the
    forecast of the next hour leaves: whoever starts the job looks again then.
    """
    out = []
    for job in jobs:
        if job.workload in around:
            found = _start(job, now, around[job.workload])
            begin = None if found.step is None else now + timedelta(seconds=found.step * STEP_S)
            out.append(Advice(job.workload, begin, found.cost, found.at_once))
    return tuple(out)


def _start(job: Job, now: datetime, place: Surroundings) -> Start:
    cost = np.repeat(place.hourly_per_kwh, int(3600 / STEP_S))
    first, last = _window(job, now)
    slot = Slot(
        job.workload, first, min(last, len(cost) - 1), int(np.ceil(job.run_s / STEP_S)), job.power_w
    )
    return starts(
        [slot],
        cost_per_kwh=cost,
        spare_w=np.full(len(cost), place.spare_w),
        base_w=np.full(len(cost), place.meter_w),
        peak_w=place.peak_w,
        charge_per_kw=place.charge_per_kw,
        step_s=STEP_S,
    )[0]


def _window(job: Job, now: datetime) -> tuple[int, int]:
    """First and last step of the window that is open or comes next."""
    begin_s, end_s = day_s(job.begin, job.workload), day_s(job.end, job.workload)
    length_s = (end_s - begin_s) % _DAY_S or _DAY_S
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    now_s = (now - midnight).total_seconds()
    opened_s = now_s - (now_s - begin_s) % _DAY_S
    left_s = opened_s + length_s - now_s
    if left_s < job.run_s:
        opened_s += _DAY_S
    first = max(0, int(np.ceil((opened_s - now_s) / STEP_S)))
    return first, int((opened_s + length_s - now_s) // STEP_S) - 1
