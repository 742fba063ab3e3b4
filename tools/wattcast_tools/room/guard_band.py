"""The baseline: a reactive rule with a guard band of 5 % below every limit. Pure.

Each look it takes the node that is closest to its limit: a feed now, or a feed after the loss of
any other, computed from present readings. If that node is inside the guard band it makes the one
move that relieves it most; where no move relieves it by ``_WORTH``, an ATS transfer. One action at
a time, and the next only after the last has shown in the readings. It knows the feed map, the
limits and the nameplates, but no future.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_tools.room.layout import Layout
from wattcast_tools.room.routing import BoolArray, FloatArray, Router

GUARD = 0.05
_WORTH = 0.002  # of a limit: a smaller relief is not worth an interruption
_SETTLE_S = 75.0


@dataclass(frozen=True)
class View:
    """Present readings.

    Attributes:
        server_w, cpu: [server] power and CPU use (0..1).
        runs: [workload, server].
        feed_up: [feed] has voltage.
        active: [ATS] inlet 0 or 1.
    """

    server_w: FloatArray
    cpu: FloatArray
    runs: BoolArray
    feed_up: BoolArray
    active: tuple[int, ...]


@dataclass(frozen=True)
class Migrate:
    """Move a workload to a server."""

    workload: str
    target: str


@dataclass(frozen=True)
class Transfer:
    """Bring an ATS to source ``A`` or ``B``."""

    ats: str
    to: str


class GuardBand:
    """The rule and its only memory: until when its last action takes."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._router = layout, Router(layout)
        self._limit_w = np.array([f.limit_w for f in layout.feeds])
        self._n1_w = np.array([f.limit_n1_w for f in layout.feeds])
        self._hosts = np.array([s.hosts for s in layout.servers])
        self._span_w = np.array([s.platform.full_w - s.platform.idle_w for s in layout.servers])
        self._idle_w = np.array([s.platform.idle_w for s in layout.servers])
        self._request = np.array([w.cpu_request for w in layout.workloads])
        self._movable = np.array([w.movable for w in layout.workloads])
        self._busy_s = -np.inf

    def busy_until(self, done_s: float) -> None:
        """The last action takes until then; look again once it shows."""
        self._busy_s = done_s + _SETTLE_S

    def decide(self, view: View, now_s: float) -> Migrate | Transfer | None:
        """What to do now, if anything."""
        if now_s < self._busy_s:
            return None
        worst = self._worst(view.server_w, view.feed_up, view.active)
        if worst <= 1.0 - GUARD:
            return None
        relief, move = self._best_move(view, worst)
        if relief >= _WORTH:
            return move
        relief, transfer = self._best_transfer(view, worst)
        return transfer if relief >= _WORTH else None

    def _worst(self, server_w: FloatArray, up: BoolArray, active: tuple[int, ...]) -> float:
        """Highest load / limit now and after the next loss."""
        pdus, switches = len(self._layout.pdus), len(self._layout.switches)
        routes = self._router.routes(
            up, np.ones(pdus, dtype=bool), np.ones(switches, dtype=bool), active
        )
        feeds_w = np.einsum("s,lsp->lp", server_w, routes.share) @ self._router.to_feed
        base_w = self._limit_w if up.all() else self._n1_w
        now = float((feeds_w[0] / base_w).max())
        # With a feed lost already, no limit is promised for a second loss.
        return max(now, float((feeds_w[1:] / self._n1_w).max())) if up.all() else now

    def _best_move(self, view: View, worst: float) -> tuple[float, Migrate | None]:
        best, action = -np.inf, None
        for workload in np.flatnonzero(self._movable & (view.runs.sum(axis=1) == 1)):
            source = int(np.flatnonzero(view.runs[workload])[0])
            targets = self._hosts & (view.cpu + self._request[workload] <= 1.0)
            for target in self._least_loaded(view, targets, source):
                moved_w = view.server_w + self._change_w(view, int(workload), source, target)
                relief = worst - self._worst(moved_w, view.feed_up, view.active)
                if relief > best:
                    best = relief
                    action = Migrate(
                        self._layout.workloads[workload].id, self._layout.servers[target].id
                    )
        return best, action

    def _least_loaded(self, view: View, fit: BoolArray, source: int) -> list[int]:
        """The least loaded fitting server of every other rack."""
        racks = [s.rack for s in self._layout.servers]
        out = []
        for rack in self._layout.racks:
            here = [i for i in np.flatnonzero(fit) if racks[i] == rack != racks[source]]
            if here:
                out.append(int(min(here, key=lambda i: view.cpu[i])))
        return out

    def _change_w(self, view: View, workload: int, source: int, target: int) -> FloatArray:
        """[server] estimated change: its part of the source's dynamic power, rescaled."""
        asked = float(self._request @ view.runs[:, source])
        dynamic_w = max(float(view.server_w[source] - self._idle_w[source]), 0.0)
        moved_w = dynamic_w * float(self._request[workload]) / asked
        change = np.zeros(len(view.server_w))
        change[source] -= moved_w
        change[target] += moved_w * float(self._span_w[target] / self._span_w[source])
        return change

    def _best_transfer(self, view: View, worst: float) -> tuple[float, Transfer | None]:
        best, action = -np.inf, None
        for index, switch in enumerate(self._layout.switches):
            other = list(view.active)
            other[index] = 1 - other[index]
            relief = worst - self._worst(view.server_w, view.feed_up, tuple(other))
            if relief > best:
                best, action = relief, Transfer(switch.id, "AB"[other[index]])
        return best, action
