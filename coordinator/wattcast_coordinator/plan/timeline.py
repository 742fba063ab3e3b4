"""Loads of every state that a growing schedule will pass through, checked before an action starts.

Slot order[0] is now; order[j] is after the j-th completion of the moves in flight. All durations
are known, so adding an action changes known states only, and each is checked exactly.
"""

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.rows import quantile
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

_TOLERANCE_W = 1e-6


class Timeline:
    """States from now on; the last one lasts until ``end_s``.

    Attributes:
        way: [S] way that feeds each server now.
        ends_s: completion times of the moves in flight, ascending.
    """

    def __init__(self, problem: Problem, start: State, end_s: float) -> None:
        self._problem = problem
        self._end_s = end_s
        self.way = start.way.copy()
        self.ends_s: list[float] = []
        slots = problem.instance.max_parallel + 2
        self._linear = np.tile(start.linear, (slots, 1, 1))
        self._variance = np.tile(start.variance, (slots, 1))
        self._order = [0]
        self._free = list(range(1, slots))

    def advance(self) -> float:
        """Let the next move complete; returns when."""
        self._free.append(self._order.pop(0))
        return self.ends_s.pop(0)

    def start_move(self, workload: int, server: int, source: int, now_s: float) -> bool:
        """Add a move from ``source`` to ``server``; False, and nothing changed, if unsafe."""
        problem, instance = self._problem, self._problem.instance
        end_s = now_s + float(problem.duration_s[workload])
        at = int(np.searchsorted(self.ends_s, end_s, side="right"))
        new = self._free.pop()
        self._copy(self._order[at], new)
        self._order.insert(at + 1, new)
        self.ends_s.insert(at, end_s)
        during, after = np.array(self._order[: at + 1]), np.array(self._order[at + 1 :])
        self._shift(during, workload, server, instance.double_run)
        self._shift(after, workload, server, 1.0)
        self._shift(after, workload, source, -1.0)
        if self._safe(problem.rows.column(server, int(self.way[server]))[0], now_s):
            return True
        self._shift(during, workload, server, -instance.double_run)
        self._shift(after, workload, server, -1.0)
        self._shift(after, workload, source, 1.0)
        self._free.append(self._order.pop(at + 1))
        self.ends_s.pop(at)
        return False

    def start_transfer(self, index: int, state: State, now_s: float) -> bool:
        """Transfer ``rows.ats[index]``; loads behind it must be the same in all states.

        ``state`` holds the completed moves and the positions of all ATS now.
        """
        rows = self._problem.rows
        servers = rows.ats_servers[index]
        present = self.way[servers]
        target = np.where(present != rows.way[servers], rows.way[servers], rows.other[servers])
        self._refeed(state, servers, present, target)
        if self._safe(np.unique(rows.entries(servers, target)[1]), now_s):
            self.way[servers] = target
            return True
        self._refeed(state, servers, target, present)
        return False

    def _copy(self, source: int, target: int) -> None:
        for array in (self._linear, self._variance):
            array[target] = array[source]

    def _shift(self, slots: IntArray, workload: int, server: int, part: float) -> None:
        """Add a part of a workload on a server; a negative part takes it away."""
        instance = self._problem.instance
        eff = part * float(instance.server_eff[server])
        own = np.sign(part) * (eff * float(instance.wl_sigma_w[workload])) ** 2
        way = int(self.way[server])
        self._spread(slots, (server, way), eff * self._problem.linear[workload], own)

    def _refeed(self, state: State, servers: IntArray, old: IntArray, new: IntArray) -> None:
        slots = np.array(self._order)
        for sign, ways in ((-1.0, old), (1.0, new)):
            for server, way in zip(servers, ways, strict=True):
                vector = sign * state.server_linear[server]
                own = sign * state.server_variance[server]
                self._spread(slots, (int(server), int(way)), vector, own)

    def _spread(
        self, slots: IntArray, fed: tuple[int, int], vector: FloatArray, own: float
    ) -> None:
        row, share = self._problem.rows.column(*fed)
        at = (slots[:, None], row)
        self._linear[at] += share[:, None] * vector
        self._variance[at] += share**2 * own

    def _safe(self, row: IntArray, now_s: float) -> bool:
        """Whether rows keep their limit, or do no worse than nothing, in every state."""
        at = (np.array(self._order)[:, None], row)
        table, growth = self._problem.rows, self._problem.instance.growth
        load_w = quantile(self._linear[at], self._variance[at], table.z[row], growth)
        over = load_w > self._problem.soft_w[row] + _TOLERANCE_W
        return not (over & self._window(now_s)[:, None, :]).any()

    def _window(self, now_s: float) -> BoolArray:
        """[states, H] steps that each state overlaps, and one more in case it stalls."""
        step_s = self._problem.instance.step_s
        begin = np.array([now_s, *self.ends_s]) // step_s
        until = np.ceil(np.array([*self.ends_s, max(self._end_s, now_s)]) / step_s)
        step = np.arange(self._problem.soft_w.shape[1])
        return np.asarray((step >= begin[:, None]) & (step <= until[:, None]))
