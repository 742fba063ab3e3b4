"""From prices and carbon at the meters to money a kWh at the feeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_configs.grid import Grid, Meter
from wattcast_coordinator.economy.dispatch import Supply, dispatch
from wattcast_coordinator.economy.values import Ahead
from wattcast_core.units import FloatArray

_GRAMS_A_TONNE = 1e6


@dataclass(frozen=True, slots=True)
class MeterAhead:
    """What is known of a meter's coming steps.

    Attributes:
        price: money a kWh; carbon: grams a kWh.
        available_w: source -> [H] watts; sources that are not named give their limit.
        load_w: [H] expected load of the meter.
        demand_per_kwh: adder where a new peak of the month would be set.
    """

    price: Ahead
    carbon: Ahead
    load_w: FloatArray
    available_w: Mapping[str, FloatArray]
    demand_per_kwh: float = 0.0


def meter_cost(grid: Grid, meter: Meter, known: MeterAhead, step_s: float) -> FloatArray:
    """[H] money of one more kWh through the meter, with carbon, fees and demand."""
    supplies = [_utility(grid, meter, known), *_sources(grid, meter, known)]
    return dispatch(supplies, known.load_w, step_s).marginal_per_kwh + known.demand_per_kwh


def feed_costs(meters: Sequence[Meter], cost: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Feed -> [H] money a kWh drawn there: its meter's, and its losses."""
    return {
        feed: cost[meter.id] / (1 - meter.losses.get(feed, 0.0))
        for meter in meters
        for feed in meter.feeds
    }


def placing(cost_per_kwh: FloatArray) -> float:
    """The price that placement counts with over a horizon; at least 0.

    A negative price is no reason to put load where it draws more: energy is not wasted for money.
    When to run a given amount of work may follow a negative price (see ``deferral``).
    """
    return max(float(np.mean(cost_per_kwh)), 0.0)


def with_carbon(price: FloatArray, carbon_g: FloatArray, grid: Grid) -> FloatArray:
    """Money a kWh with the carbon it comes with."""
    return np.asarray(price + carbon_g * grid.carbon_price_per_t / _GRAMS_A_TONNE)


def _utility(grid: Grid, meter: Meter, known: MeterAhead) -> Supply:
    price = np.array(known.price.value) + meter.adder_per_kwh
    cost = with_carbon(price, np.array(known.carbon.value), grid)
    return Supply("utility", np.full(len(cost), np.inf), cost)


def _sources(grid: Grid, meter: Meter, known: MeterAhead) -> list[Supply]:
    steps = len(known.load_w)
    out = []
    for source in grid.source:
        if source.meter != meter.id:
            continue
        given_w = known.available_w.get(source.id, np.full(steps, source.limit_w))
        cost = with_carbon(
            np.full(steps, source.price_per_kwh), np.full(steps, source.carbon_g_per_kwh), grid
        )
        limit_w = np.clip(given_w, 0, source.limit_w)
        out.append(Supply(source.id, limit_w, cost, source.energy_kwh))
    return out
