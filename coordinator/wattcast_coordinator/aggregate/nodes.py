"""Calibrated forecasts of power nodes: racks, feeds, the room, from their servers' forecasts.

Two forecasters: the trained network of sums, and the plain sum with the correlation of recent
steps, which serves until the node has a day of history or where no network is there. Margins are
learned a node and horizon from what came.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from wattcast_coordinator.aggregate.correlation import PRIOR
from wattcast_core.signal import features, sums
from wattcast_core.signal.conformal import SUMS, Margins
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.history import History
from wattcast_core.signal.issues import Issue, issued_for
from wattcast_core.signal.steps import DAY, HISTORY, HORIZON, STEP_S, WINDOW
from wattcast_core.signal.sums import SumNetwork
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers' forecasts at one step.

    Attributes:
        quantiles_w: [server, HORIZON, 4], NaN where there is none.
        now_w: [server] power that they start from.
        rho: correlation of their deviations.
    """

    quantiles_w: FloatArray
    now_w: FloatArray
    rho: float = PRIOR


@dataclass(slots=True)
class NodeForecaster:
    """State of some nodes.

    Attributes:
        shares: [node, server] of each server's power that a node carries; may be set anew before
            an update.
        network: of sums, or None.
    """

    shares: FloatArray
    network: SumNetwork | None = None
    _history: History = field(default_factory=History)
    _margins: tuple[Margins, Margins] = field(
        default_factory=lambda: (Margins(SUMS), Margins(SUMS))
    )
    _issues: deque[Issue] = field(default_factory=lambda: deque(maxlen=HORIZON))

    @property
    def covered(self) -> FloatArray:
        """[node, HORIZON, 4] share of the past day's power at or below each quantile served."""
        learned, added = self._margins
        judged = (learned.count > 0)[..., None]
        return np.where(judged, learned.covered, added.covered)

    def resume(self, end_s: float, power_w: FloatArray) -> None:
        """Take past power [node, step], its last step ending at ``end_s``, on a model step.

        It may overlap with what was recorded since; NaN in it changes nothing.
        """
        late = round(max(self._history.end_s - end_s, 0.0) / STEP_S)
        padded = np.pad(power_w, ((0, 0), (0, late)), constant_values=np.nan)
        self._history.record(max(end_s, self._history.end_s), padded[:, -HISTORY:])

    def update(self, end_s: float, power_w: FloatArray, servers: Servers) -> FloatArray:
        """Take one step and forecast from it.

        Args:
            end_s: epoch seconds at which the step ends, a multiple of STEP_S.
            power_w: [node] its mean power, NaN = not known.
            servers: their forecasts from that step.

        Returns:
            [node, HORIZON, 4] watts; NaN where the node's power is not known now.
        """
        self._judge(end_s, power_w)
        self._history.record(end_s, power_w[:, None])
        raw = (self._learned(end_s, servers), self._added(power_w, servers))
        learned, added = map(_calibrated, self._margins, raw)
        self._issues.append(Issue(end_s, np.stack([learned, added])))
        served = np.where(np.isnan(learned).any(axis=(1, 2), keepdims=True), added, learned)
        served[~np.isfinite(power_w)] = np.nan
        return served

    def _judge(self, end_s: float, power_w: FloatArray) -> None:
        if self._issues:
            meant = issued_for(end_s, self._issues)
            for margins, served in zip(self._margins, meant, strict=True):
                margins.learn(power_w, served)

    def _learned(self, end_s: float, servers: Servers) -> FloatArray:
        none = np.full((len(self.shares), HORIZON, 4), np.nan)
        history = self._history.power_w
        known = np.isfinite(history).sum(axis=1) >= DAY
        if self.network is None or not known.any():
            return none
        window = np.full((len(history), WINDOW, len(CHANNELS)), np.nan)
        window[:, :, 0] = history[:, -WINDOW:]
        inputs = features.build(window, history, np.full(len(history), end_s))
        of_members = sums.members(servers.quantiles_w, servers.now_w, self.shares, inputs.scale_w)
        out = inputs.to_watts(self.network.predict(sums.parts(inputs, of_members, self.shares)))
        return np.where(known[:, None, None], out, none)

    def _added(self, power_w: FloatArray, servers: Servers) -> FloatArray:
        return sums.added(servers.quantiles_w, servers.now_w, self.shares, power_w, servers.rho)


def _calibrated(margins: Margins, raw_w: FloatArray) -> FloatArray:
    served_w = np.maximum(margins.applied(raw_w), 0.0)
    margins.note(raw_w)
    return served_w
