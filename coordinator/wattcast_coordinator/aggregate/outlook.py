"""Forecasts of all servers, aligned in time: what each will draw, and how sure that is."""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.standing import Shift
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray
from wattcast_core.forecast import QUANTILES, Forecast
from wattcast_core.units import FloatArray, epoch_s

STALE_STEPS = 2.0  # no act rests on a forecast older than this
CARRY_STEPS = 12.0  # a reading older than this says nothing about now
BELIEVABLE = 3.0  # times its full power: no server draws more, whatever a meter says
HORIZON_STEPS = 12  # if no server has a forecast
_DOUBT = 0.15  # of the dynamic range: deviation of a load that is only carried on
_MEDIAN, _Q90, _Q99 = (QUANTILES.index(q) for q in (0.5, 0.9, 0.99))
_Z90, _Z99 = 1.2816, 2.3263


@dataclass(frozen=True, slots=True)
class Outlook:
    """Power of servers over the horizon; step h is the time ``now + (h + 1) * step_s``.

    Attributes:
        mean_w, sigma_w: [S,H] median and deviation. The deviation is the mean of what the 0.9 and
            the 0.99 quantile each say of a normal curve: sums of many servers are near normal, so
            neither a fat single tail nor a thin one alone should set the room's margin.
        doubt_w: [S] further deviation of servers whose last reading is only carried on.
        fresh: [S] with a forecast that actions may rest on.
        known: [S] measured at all lately; the others count with full power.
    """

    mean_w: FloatArray
    sigma_w: FloatArray
    doubt_w: FloatArray
    fresh: BoolArray
    known: BoolArray


def look(graph: Graph, inputs: Inputs, decision: Decision, shifts: tuple[Shift, ...]) -> Outlook:
    """Align the forecasts; carry the last reading on where there is none."""
    usable = [
        _usable(inputs.forecasts.get(name), BELIEVABLE * full_w, inputs.now, decision.step_s)
        for name, full_w in zip(graph.servers, graph.full_w, strict=True)
    ]
    steps = max((_steps(f, decision.step_s) for f in usable if f), default=HORIZON_STEPS)
    mean_w = np.zeros((len(usable), steps))
    sigma_w = np.zeros_like(mean_w)
    doubt_w = np.zeros(len(usable))
    known = np.ones(len(usable), bool)
    for row, forecast in enumerate(usable):
        if forecast:
            mean_w[row], sigma_w[row] = _aligned(forecast, inputs.now, decision.step_s, steps)
            continue
        last_w = _last_reading_w(inputs, graph.servers[row], decision.step_s)
        known[row] = last_w <= BELIEVABLE * graph.full_w[row]  # False for NaN
        mean_w[row] = last_w if known[row] else graph.full_w[row]
        doubt_w[row] = _DOUBT * max(graph.full_w[row] - graph.idle_w[row], 0.1 * mean_w[row, 0])
    _apply(shifts, graph, usable, mean_w, decision.step_s)
    return Outlook(mean_w, sigma_w, doubt_w, np.array([f is not None for f in usable]), known)


def _usable(
    forecast: Forecast | None, most_w: float, now: datetime, step_s: float
) -> Forecast | None:
    if forecast is None or not forecast.quantiles_w:
        return None
    age_s = epoch_s(now) - epoch_s(forecast.issued_at)
    table = np.array(forecast.quantiles_w)
    sound = table.shape[1:] == (len(QUANTILES),) and bool(np.isfinite(table).all())
    sound = sound and bool(((table >= -most_w) & (table <= most_w)).all())
    sound = sound and bool((table[:, _MEDIAN] >= 0).all())
    return forecast if sound and -step_s <= age_s <= STALE_STEPS * step_s else None


def _steps(forecast: Forecast, step_s: float) -> int:
    return max(1, round(len(forecast.quantiles_w) * forecast.step_s / step_s))


def _aligned(
    forecast: Forecast, now: datetime, step_s: float, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation [H]; beyond the forecast's end its last row goes on."""
    age_s = epoch_s(now) - epoch_s(forecast.issued_at)
    ahead_s = (np.arange(steps) + 1) * step_s + age_s
    row = np.clip(np.rint(ahead_s / forecast.step_s) - 1, 0, len(forecast.quantiles_w) - 1)
    table = np.sort(np.array(forecast.quantiles_w), axis=1)[row.astype(np.int64)]
    above = table - table[:, [_MEDIAN]]
    return table[:, _MEDIAN], 0.5 * (above[:, _Q90] / _Z90 + above[:, _Q99] / _Z99)


def _last_reading_w(inputs: Inputs, server: str, step_s: float) -> float:
    """The newest measured power that still says something; NaN if there is none."""
    signature = inputs.signatures.get(server)
    if signature is None:
        return math.nan
    age_s = epoch_s(inputs.now) - epoch_s(signature.at)
    if age_s > CARRY_STEPS * step_s:
        return math.nan
    if math.isfinite(signature.power_w) and signature.power_w >= 0:
        return signature.power_w
    recent = [w for w in inputs.recent_w.get(server, ())[-int(CARRY_STEPS) :] if w >= 0]
    return float(recent[-1]) if recent else math.nan


def _apply(
    shifts: tuple[Shift, ...],
    graph: Graph,
    forecasts: list[Forecast | None],
    mean_w: FloatArray,
    step_s: float,
) -> None:
    """Take finished moves into account as far as the forecasts' last readings did not see them."""
    for shift in shifts:
        for name, sign in ((shift.source, -1.0), (shift.target, 1.0)):
            row = graph.server[name]
            watts = sign * shift.watts_w * graph.eff[row] * _unseen(shift, forecasts[row], step_s)
            floor_w = np.minimum(mean_w[row], graph.idle_w[row])
            mean_w[row] = np.maximum(mean_w[row] + watts, floor_w)


def _unseen(shift: Shift, forecast: Forecast | None, step_s: float) -> float:
    """Share of the forecast's last step that lay before the move was done."""
    if forecast is None:
        return 1.0
    begun_s = epoch_s(forecast.issued_at) - step_s
    return min(max((epoch_s(shift.at) - begun_s) / step_s, 0.0), 1.0)
