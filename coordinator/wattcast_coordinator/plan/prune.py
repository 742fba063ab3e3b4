"""Take actions back that a goal does not need."""

import numpy as np

from wattcast_coordinator.plan.state import State

_NONE_W = 2e-6  # excess below this is rounding


def prune(state: State) -> None:
    """Take actions back, dearest first, while the excess does not grow."""
    problem = state.problem
    excess_w = state.excess_w() + _NONE_W / 2
    ats_cost = problem.instance.ats_cost[problem.rows.ats]
    for index in sorted(np.flatnonzero(state.flipped), key=lambda i: -ats_cost[i]):
        state.flip(int(index))
        if state.excess_w() > excess_w:
            state.flip(int(index))
    moved = state.moved()
    for workload in moved[np.argsort(-problem.move_cost[moved], kind="stable")]:
        there = int(state.placed[workload])
        if excess_w < _NONE_W and _must_stay(state, int(workload)):
            continue
        if take_back(state, int(workload)) and state.excess_w() > excess_w:
            state.move(int(workload), there)


def _must_stay(state: State, workload: int) -> bool:
    """Whether its mean watts alone would overload a row above its home and not above its place."""
    problem = state.problem
    home = int(problem.instance.wl_server[workload])
    row, share = problem.rows.column(home, int(state.way[home]))
    there = int(state.placed[workload])
    here = problem.rows.column(there, int(state.way[there]))[0]
    apart = ~np.isin(row, here, assume_unique=True)
    row, share = row[apart], share[apart] * problem.instance.server_eff[home]
    load_w = state.load_w[row] + share[:, None] * problem.instance.wl_w[workload]
    return bool((load_w > problem.target_w[row]).any())


def take_back(state: State, workload: int) -> bool:
    """Return a workload to where it was; False if its place has been taken."""
    instance = state.problem.instance
    home = int(instance.wl_server[workload])
    if not state.accepts(workload, np.array([home]), home=True)[0]:
        return False
    state.move(workload, home)
    return True
