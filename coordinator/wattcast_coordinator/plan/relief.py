"""What actions take off rows, to second order at a state of the room."""

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray


class Relief:
    """Actions and the rows they are to relieve; what they share is kept while feeding stays.

    An action is a workload that leaves a server, or W + the index of a transferable ATS.
    """

    def __init__(
        self, problem: Problem, rows: IntArray, actions: IntArray, server: IntArray
    ) -> None:
        """Keep what does not change with loads.

        Args:
            problem: what the actions are part of.
            rows: indices of rows.
            actions: workloads first, then transfers.
            server: [workloads of ``actions``] which server each leaves.
        """
        count = len(problem.instance.wl_server)
        self._problem, self._rows, self._server = problem, rows, server
        self._moves = actions[actions < count]
        groups = [problem.rows.ats_servers[index] for index in actions[actions >= count] - count]
        self._behind = np.concatenate([np.zeros(0, np.int64), *groups])
        self._start = np.cumsum([0, *map(len, groups)])[:-1]
        table = problem.rows
        change = table.shares(rows, self._behind, table.way[self._behind])
        self._change = change - table.shares(rows, self._behind, table.other[self._behind])
        self._fed = np.zeros(0, np.int64)
        self._share = np.zeros((len(rows), 0))

    def watts(self, state: State) -> FloatArray:
        """[rows, actions] watts that each takes off a row at its worst step."""
        problem, growth = self._problem, self._problem.instance.growth
        step = (state.load_w[self._rows] - problem.target_w[self._rows]).argmax(1)
        factor = state.linear[self._rows, len(growth) :]
        variance = (factor**2).sum(1) + state.variance[self._rows]
        pull = problem.rows.z[self._rows] * growth[step] / np.sqrt(np.maximum(variance, 1e-9))
        slope = pull[:, None] * factor
        moves = self._moves_w(state, step, pull, slope)
        return np.hstack([moves, self._transfers_w(state, step, slope)])

    def _moves_w(
        self, state: State, step: IntArray, pull: FloatArray, slope: FloatArray
    ) -> FloatArray:
        instance = self._problem.instance
        fed = state.way[self._server]
        if not np.array_equal(fed, self._fed):
            self._fed = fed
            self._share = self._problem.rows.shares(self._rows, self._server, fed)
            self._share *= instance.server_eff[self._server]
        watts = slope @ instance.wl_factor_w[self._moves].T
        watts += instance.wl_w[self._moves].T[step]
        own = instance.wl_sigma_w[self._moves] ** 2
        watts += self._share * (0.5 * pull[:, None] * own)
        return np.asarray(self._share * watts)

    def _transfers_w(self, state: State, step: IntArray, slope: FloatArray) -> FloatArray:
        if not len(self._start):
            return np.zeros((len(self._rows), 0))
        steps = len(self._problem.instance.growth)
        drawn = state.server_linear[self._behind]
        watts = drawn[:, step].T + slope @ drawn[:, steps:].T
        return np.asarray(np.add.reduceat(self._change * watts, self._start, axis=1))


def relieved_w(state: State, rows: IntArray, actions: IntArray) -> FloatArray:
    """[rows, actions] watts that actions, taken from where workloads are, take off each row."""
    moves = actions[actions < len(state.placed)]
    return Relief(state.problem, rows, actions, state.placed[moves]).watts(state)
