"""What actions take off rows, to second order at a state of the room."""

import numpy as np

from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray


def relieved_w(state: State, rows: IntArray, actions: IntArray, server: IntArray) -> FloatArray:
    """[rows, actions] watts that actions take off each row at its worst step.

    Args:
        state: where loads are taken.
        rows: indices of rows.
        actions: workloads, then transfers: W + index of a transferable ATS.
        server: [W] which server a workload leaves.
    """
    count = len(state.placed)
    first = int((actions < count).sum())
    slope = _Slope(state, rows)
    transfers = [_transfer_w(state, rows, slope, int(a) - count) for a in actions[first:]]
    moves = _moves_w(state, rows, slope, actions[:first], server[actions[:first]])
    return np.hstack([moves, *(column[:, None] for column in transfers)])


class _Slope:
    """How a row's load at its worst step follows from means, factor loadings and variances."""

    def __init__(self, state: State, rows: IntArray) -> None:
        problem, growth = state.problem, state.problem.instance.growth
        self.step = (state.load_w[rows] - problem.target_w[rows]).argmax(1)
        self.factor = state.linear[rows, len(growth) :]
        sigma_w = np.sqrt(np.maximum((self.factor**2).sum(1) + state.variance[rows], 1e-9))
        self.pull = problem.rows.z[rows] * growth[self.step] / sigma_w


def _moves_w(
    state: State, rows: IntArray, slope: _Slope, moves: IntArray, server: IntArray
) -> FloatArray:
    problem, instance = state.problem, state.problem.instance
    share = problem.rows.shares(rows, server, state.way[server])
    share *= instance.server_eff[server]
    watts = (slope.pull[:, None] * slope.factor) @ instance.wl_factor_w[moves].T
    watts += instance.wl_w[moves].T[slope.step]
    watts += share * (0.5 * slope.pull[:, None] * instance.wl_sigma_w[moves] ** 2)
    return np.asarray(share * watts)


def _transfer_w(state: State, rows: IntArray, slope: _Slope, index: int) -> FloatArray:
    table, steps = state.problem.rows, len(state.problem.instance.growth)
    behind = table.ats_servers[index]
    change = table.shares(rows, behind, table.way[behind])
    change -= table.shares(rows, behind, table.other[behind])
    watts = state.server_linear[behind][:, slope.step].T
    watts = watts + slope.pull[:, None] * (slope.factor @ state.server_linear[behind, steps:].T)
    return np.asarray((change * watts).sum(1))
