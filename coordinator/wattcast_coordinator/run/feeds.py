"""Calibrated forecasts of feeds while this coordinator leads."""

from datetime import datetime, timedelta

import numpy as np

from wattcast_coordinator.aggregate.nodes import NodeForecaster, Servers
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.aggregate.routes import trace
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.store.contract import RecentPower
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal import gaps
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.signal.sums import SumNetwork
from wattcast_core.units import FloatArray, epoch_s

_UNKNOWN_SHARE = 0.2  # of servers not measured just now: above it no feed's load is known


class FeedForecasts:
    """Learns at every step; knows only as much of the past as ``resume`` tells."""

    def __init__(self, graph: Graph, network: SumNetwork | None) -> None:
        self._graph = graph
        shares = np.zeros((len(graph.feeds), len(graph.servers)))
        self._nodes = NodeForecaster(shares, network)
        self._last_w = np.full(len(graph.servers), np.nan)
        self._past: RecentPower | None = None

    def resume(self, past: RecentPower) -> None:
        """Take servers' past power at the next update; on another step than the model's: none."""
        if past.step_s == STEP_S and past.power_w:
            self._past = past

    def update(self, problem: Problem, inputs: Inputs) -> tuple[FloatArray, FloatArray]:
        """Take the step that ends now.

        Returns:
            [feed, HORIZON, 4] watts, NaN where not known, and the shares of the past day's loads
            that each quantile covered, of the same shape.
        """
        end_s, step_s = epoch_s(inputs.now), problem.evidence.step_s
        nothing = np.full((len(self._graph.feeds), HORIZON, len(QUANTILES)), np.nan)
        if step_s != STEP_S or end_s % STEP_S:
            return nothing, nothing
        self._nodes.shares = self._shares(problem)
        past, self._past = self._past, None
        if past is not None and past.end_s <= end_s:
            self._nodes.resume(past.end_s, self._past_loads(past))
        power_w = self._measured(inputs)
        known = np.isfinite(power_w)
        self._last_w[known] = power_w[known]
        load_w = self._nodes.shares @ np.nan_to_num(self._last_w)
        if not known.any() or (~known).mean() > _UNKNOWN_SHARE:
            load_w[:] = np.nan
        servers = Servers(
            self._told(inputs), np.nan_to_num(self._last_w), problem.correlation.common
        )
        return self._nodes.update(end_s, load_w, servers), self._nodes.covered

    def _past_loads(self, past: RecentPower) -> FloatArray:
        """[feed, step] with the shares of now; NaN where too few servers were measured."""
        steps = max(map(len, past.power_w.values()))
        nothing = np.full(steps, np.nan)
        power_w = np.array([past.power_w.get(name, nothing) for name in self._graph.servers])
        known = np.isfinite(power_w)
        wide = (~known).mean(axis=0) > _UNKNOWN_SHARE
        held_w, _ = gaps.hold(power_w)
        return np.where(wide, np.nan, self._nodes.shares @ held_w)

    def _shares(self, problem: Problem) -> FloatArray:
        routes = trace(problem.evidence, problem.evidence.ats_source)
        out = np.zeros((len(self._graph.feeds), len(self._graph.servers)))
        for row, feed in enumerate(self._graph.feeds):
            here = routes.node == self._graph.node[feed]
            out[row, routes.server[here]] = routes.fraction[here]
        return out

    def _measured(self, inputs: Inputs) -> FloatArray:
        """[server] power of the step that ends now; NaN where it is not known."""
        out = np.full(len(self._graph.servers), np.nan)
        for row, name in enumerate(self._graph.servers):
            signature = inputs.signatures.get(name)
            if signature is not None and _ends(signature.at, signature.step_s, inputs.now):
                out[row] = signature.power_w if signature.power_w >= 0 else np.nan
        return out

    def _told(self, inputs: Inputs) -> FloatArray:
        """[server, HORIZON, 4] forecasts from this step; NaN where there is none."""
        out = np.full((len(self._graph.servers), HORIZON, len(QUANTILES)), np.nan)
        for row, name in enumerate(self._graph.servers):
            forecast = inputs.forecasts.get(name)
            if forecast is not None and _ends(forecast.issued_at, 0.0, inputs.now):
                table = np.array(forecast.quantiles_w)
                if table.shape == out.shape[1:] and np.isfinite(table).all():
                    out[row] = table
        return out


def _ends(at: datetime, lasts_s: float, now: datetime) -> bool:
    return abs(now - (at + timedelta(seconds=lasts_s))) < timedelta(seconds=STEP_S / 2)
