"""The month's highest mean load, which a demand charge is paid for."""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from wattcast_core.units import epoch_s

_NEAR = 1.02  # a load so near the peak so far would pass it with one workload more


@dataclass(frozen=True, slots=True)
class Demand:
    """Of one meter, so far.

    Attributes:
        month: ``YYYY-MM`` in the meter's time zone.
        peak_w: highest mean over a whole window of this month.
        window: number of the billing window under way (epoch seconds / its length).
        energy_ws, seconds: measured of it so far.
    """

    month: str = ""
    peak_w: float = 0.0
    window: int = -1
    energy_ws: float = 0.0
    seconds: float = 0.0


def noted(
    demand: Demand, at: datetime, load_w: float, step_s: float, *, window_s: float, zone: tzinfo
) -> Demand:
    """After the mean load of the step that ends at ``at``.

    A window counts once it is over, if at least half of it was measured.
    """
    window = int((epoch_s(at) - step_s) // window_s)
    if window != demand.window:
        demand = replace(_closed(demand, window_s), window=window, energy_ws=0.0, seconds=0.0)
    month = f"{at.astimezone(zone):%Y-%m}"
    if month != demand.month:
        demand = replace(demand, month=month, peak_w=0.0)
    energy_ws = demand.energy_ws + load_w * step_s
    demand = replace(demand, energy_ws=energy_ws, seconds=demand.seconds + step_s)
    return _closed(demand, window_s) if demand.seconds >= window_s else demand


def _closed(demand: Demand, window_s: float) -> Demand:
    if demand.seconds < window_s / 2:
        return demand
    return replace(demand, peak_w=max(demand.peak_w, demand.energy_ws / demand.seconds))


def entry_per_kw(demand: Demand, highest_w: float, charge_per_kw: float) -> float:
    """What a kilowatt newly placed on the meter for good costs, if it raises the month's peak.

    Args:
        demand: so far.
        highest_w: highest load expected of the meter without it.
        charge_per_kw: money a kW of the month's peak.
    """
    return charge_per_kw if highest_w * _NEAR > demand.peak_w else 0.0


def adder_per_kwh(
    demand: Demand, forecast_peak_w: float, charge_per_kw: float, horizon_s: float
) -> float:
    """What a kWh over the horizon costs more where the horizon would set a new peak of the month.

    A kilowatt more at the peak costs the charge once; spread over the horizon's hours.
    """
    return charge_per_kw * 3600 / horizon_s if forecast_peak_w > demand.peak_w > 0 else 0.0
