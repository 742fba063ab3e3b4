"""Which source behind a meter serves the load, and what one more kilowatt costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Supply:
    """A source over the horizon.

    Attributes:
        limit_w: [H] most it gives.
        cost_per_kwh: [H] money including carbon.
        energy_kwh: what it may give in all (a battery); infinite = no matter.
    """

    name: str
    limit_w: FloatArray
    cost_per_kwh: FloatArray
    energy_kwh: float = float("inf")


@dataclass(frozen=True, slots=True)
class Dispatched:
    """Who serves what.

    Attributes:
        power_w: [source, H].
        unserved_w: [H] load beyond all limits.
        marginal_per_kwh: [H] money of one more kWh: of the cheapest source with power to spare,
            else of the dearest in use.
    """

    power_w: FloatArray
    unserved_w: FloatArray
    marginal_per_kwh: FloatArray


def dispatch(supplies: Sequence[Supply], load_w: FloatArray, step_s: float) -> Dispatched:
    """Merit order: cheapest first, each within its limit; stored energy where it saves most.

    Args:
        supplies: at least one.
        load_w: [H] of the meter.
        step_s: length of a step.
    """
    cost = np.stack([s.cost_per_kwh for s in supplies])
    limit_w = np.stack([s.limit_w for s in supplies])
    stored = np.isfinite([s.energy_kwh for s in supplies])
    without = _merit(cost[~stored], limit_w[~stored], load_w) if not stored.all() else None
    usual = np.full(len(load_w), np.inf) if without is None else without[1]
    for index, supply in enumerate(supplies):
        if not stored[index]:
            continue
        wanted_w = np.where(supply.cost_per_kwh < usual, np.minimum(supply.limit_w, load_w), 0)
        limit_w[index] = _rationed(wanted_w, usual - supply.cost_per_kwh, supply.energy_kwh, step_s)
    power_w, marginal = _merit(cost, limit_w, load_w)
    return Dispatched(power_w, load_w - power_w.sum(axis=0), marginal)


def _rationed(
    wanted_w: FloatArray, saving: FloatArray, energy_kwh: float, step_s: float
) -> FloatArray:
    """[H] of what is wanted, dearest steps first, while the energy lasts."""
    out = np.zeros_like(wanted_w)
    left_w = energy_kwh * 3.6e6 / step_s
    for step in np.argsort(-saving, kind="stable"):
        out[step] = min(float(wanted_w[step]), left_w)
        left_w -= out[step]
    return out


def _merit(
    cost: FloatArray, limit_w: FloatArray, load_w: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Power [source, H] in order of cost, and the marginal cost [H]."""
    order = np.argsort(cost, axis=0, kind="stable")
    ordered_w = np.take_along_axis(limit_w, order, 0)
    before_w = np.vstack([np.zeros_like(load_w), np.cumsum(ordered_w, axis=0)[:-1]])
    given_w = np.clip(load_w - before_w, 0, ordered_w)
    power_w = np.zeros_like(limit_w)
    np.put_along_axis(power_w, order, given_w, 0)
    spare = before_w + ordered_w > load_w
    spare[-1] = True  # beyond all limits the dearest counts; that is a matter of safety, not money
    first = spare.argmax(axis=0)
    marginal = np.take_along_axis(np.take_along_axis(cost, order, 0), first[None], 0)[0]
    return power_w, marginal
