"""When a deferrable workload runs cheapest without taking power that safety needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of work of given length that may begin at any step of a window.

    Attributes:
        first, last: first and last step that it may occupy.
        steps: how many it occupies, without a pause.
        power_w: while it runs.
    """

    name: str
    first: int
    last: int
    steps: int
    power_w: float


@dataclass(frozen=True, slots=True)
class Start:
    """When to begin a piece of work.

    Attributes:
        step: None = no time of its window has the power to spare.
        cost: money of its energy and of the peak it raises.
        at_once: the same if it began with its window; infinite if that has no power to spare.
    """

    name: str
    step: int | None
    cost: float
    at_once: float


def starts(
    slots: Sequence[Slot],
    *,
    cost_per_kwh: FloatArray,
    spare_w: FloatArray,
    base_w: FloatArray,
    peak_w: float,
    charge_per_kw: float,
    step_s: float,
) -> tuple[Start, ...]:
    """Largest pieces first, each at its cheapest start; earlier ones are load for later ones.

    Args:
        slots: the pieces.
        cost_per_kwh: [H] money with carbon; may be negative.
        spare_w: [H] watts to spare before any limit, also after any loss.
        base_w: [H] other load of the meter.
        peak_w: the month's peak so far.
        charge_per_kw: demand charge.
        step_s: length of a step.
    """
    spare_w, base_w = spare_w.copy(), base_w.copy()
    out: dict[str, Start] = {}
    for slot in sorted(slots, key=lambda s: (-s.power_w * s.steps, s.name)):
        begins = np.arange(slot.first, slot.last - slot.steps + 2)
        if not len(begins):
            out[slot.name] = Start(slot.name, None, np.inf, np.inf)
            continue
        kwh = slot.power_w * step_s / 3.6e6
        energy = _sums(cost_per_kwh, slot.steps)[begins] * kwh
        above_w = _highest(base_w, slot.steps)[begins] + slot.power_w - peak_w
        cost = energy + np.maximum(above_w, 0) / 1000 * charge_per_kw
        fits = -_highest(-spare_w, slot.steps)[begins] >= slot.power_w
        cost = np.where(fits, cost, np.inf)
        if not np.isfinite(cost).any():
            out[slot.name] = Start(slot.name, None, np.inf, np.inf)
            continue
        chosen = int(np.argmin(cost))
        begin = int(begins[chosen])
        spare_w[begin : begin + slot.steps] -= slot.power_w
        base_w[begin : begin + slot.steps] += slot.power_w
        peak_w = max(peak_w, float(base_w[begin : begin + slot.steps].max()))
        out[slot.name] = Start(slot.name, begin, float(cost[chosen]), float(cost[0]))
    return tuple(out[slot.name] for slot in slots)


def _sums(values: FloatArray, steps: int) -> FloatArray:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[steps:] - total[:-steps])


def _highest(values: FloatArray, steps: int) -> FloatArray:
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, steps).max(axis=1))
