"""Rolling-origin back-test: walk through recorded steps and forecast from each with what came.

The forecasters are handed in: they are those that are served, with their windows, calibration and
choice, so that a back-test has no forecasting code of its own. At step t they are given the
signatures up to t and nothing later; the walk starts some days before the judged part so that they
have learned their margins.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from wattcast_coordinator.aggregate import correlation
from wattcast_coordinator.aggregate.nodes import NodeForecaster, Servers
from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_core.forecast import QUANTILES, Code, Forecast
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import FloatArray, epoch_s, from_epoch_s

STEPS_AHEAD = (1, 3, 12)
MINUTES = tuple(round(h * STEP_S / 60.0) for h in STEPS_AHEAD)
CODES = (*Code, "summed")
_AT = [h - 1 for h in STEPS_AHEAD]
_VALUES = [FEATURES.index(name) for name in CHANNELS[1:]]
_CORRELATED = 64  # newest steps that servers' correlation is estimated from
_ESTIMATE_EVERY = 12  # steps

Update = Callable[[Iterable[Signature], datetime, float], Sequence[Forecast]]


@dataclass(frozen=True, slots=True)
class Walked:
    """What was served for one level.

    Attributes:
        quantiles_w: [series, origin, len(STEPS_AHEAD), 4], NaN where no forecast was given;
            origin 0 is the panel's ``split``.
        code: [series, origin] index in CODES of the forecast's reason.
    """

    quantiles_w: FloatArray
    code: NDArray[np.int8]

    @classmethod
    def empty(cls, series: int, origins: int) -> "Walked":
        """Nothing served yet."""
        shape = (series, origins)
        quantiles_w = np.full((*shape, len(STEPS_AHEAD), len(QUANTILES)), np.nan)
        return cls(quantiles_w, np.full(shape, CODES.index("summed"), np.int8))


@dataclass(slots=True)
class Room:
    """The forecasters of a panel.

    Attributes:
        update: of a fresh forecaster of servers.
        nodes: of each further level, by its name.
    """

    panel: Panel
    update: Update
    nodes: dict[str, NodeForecaster]
    _rho: float = correlation.PRIOR

    def step(self, step: int) -> tuple[dict[str, Forecast], dict[str, FloatArray]]:
        """Walk one step: forecasts of servers by id, and of nodes [node, HORIZON, 4] by level."""
        servers, start_s = self.panel.levels[0], self.panel.start_s
        begin_s = start_s + step * STEP_S
        now = from_epoch_s(begin_s + STEP_S)
        issued = self.update(_signatures(servers, step, begin_s), now, epoch_s(now))
        by_id = {forecast.server: forecast for forecast in issued}
        if not self.nodes:
            return by_id, {}
        if step % _ESTIMATE_EVERY == 0:
            self._rho = self._correlation(step)
        table = np.full((len(servers.ids), HORIZON, len(QUANTILES)), np.nan)
        for row, name in enumerate(servers.ids):
            if name in by_id:
                table[row] = by_id[name].quantiles_w
        given = Servers(table, self.panel.filled_w[:, step], self._rho)
        power = {level.name: level.channels[:, step, 0] for level in self.panel.levels[1:]}
        return by_id, {
            name: node.update(begin_s + STEP_S, power[name], given)
            for name, node in self.nodes.items()
        }

    def _correlation(self, step: int) -> float:
        servers = self.panel.levels[0]
        recent = servers.channels[:, max(0, step + 1 - _CORRELATED) : step + 1, 0]
        nobody = np.full(len(servers.ids), -1, np.int64)
        by_name = dict(zip(servers.ids, recent.tolist(), strict=True))
        return correlation.estimate(servers.ids, nobody, 0, by_name).common


def walk(
    room: Room, warm_up: int, origins: int, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Walked]:
    """Forecast from every origin; by level.

    Args:
        room: fresh forecasters.
        warm_up: steps before the split to walk through first.
        origins: steps from the split on.
        progress: called with the number of steps walked.
    """
    panel = room.panel
    names = [panel.levels[0].name, *room.nodes]
    out = {
        level.name: Walked.empty(len(level.ids), origins)
        for level in panel.levels
        if level.name in names
    }
    servers = out[panel.levels[0].name]
    row_of = {name: row for row, name in enumerate(panel.levels[0].ids)}
    first = max(0, panel.split - warm_up)
    for step in range(first, panel.split + origins):
        origin = step - panel.split
        by_id, by_level = room.step(step)
        if origin >= 0:
            for name, forecast in by_id.items():
                row = row_of[name]
                servers.quantiles_w[row, origin] = np.array(forecast.quantiles_w)[_AT]
                servers.code[row, origin] = CODES.index(forecast.code)
            for name, served in by_level.items():
                out[name].quantiles_w[:, origin] = served[:, _AT]
        progress(step - first + 1)
    return out


def _signatures(level: Level, step: int, begin_s: float) -> list[Signature]:
    at = from_epoch_s(begin_s)
    values = np.full((len(level.ids), len(FEATURES)), np.nan)
    values[:, _VALUES] = level.channels[:, step, 1:]
    watts = level.channels[:, step, 0].tolist()
    rows = zip(level.ids, watts, values.tolist(), strict=True)
    return [Signature(name, at, STEP_S, (watt,), tuple(row)) for name, watt, row in rows]


def shares_of_codes(walked: Walked) -> dict[str, float]:
    """Share of the forecasts served, by the code of their reason."""
    codes = walked.code[np.isfinite(walked.quantiles_w).all(axis=(2, 3))]
    counts = np.bincount(codes, minlength=len(CODES))
    return {
        str(code): float(count / max(len(codes), 1))
        for code, count in zip(CODES, counts.tolist(), strict=True)
        if count
    }
