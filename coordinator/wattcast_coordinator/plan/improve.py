"""Make a plan cheaper: drop what it does not need, then tear parts out and repair them anew."""

from collections.abc import Callable

import numpy as np

from wattcast_coordinator.plan.greedy import Greedy
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray

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
    row, share = problem.rows.column(int(state.column[home]))
    here = problem.rows.column(int(state.column[state.placed[workload]]))[0]
    apart = ~np.isin(row, here, assume_unique=True)
    row, share = row[apart], share[apart] * problem.instance.server_eff[home]
    load_w = state.load_w[row] + share[:, None] * problem.instance.wl_w[workload]
    return bool((load_w > problem.target_w[row]).any())


def take_back(state: State, workload: int) -> bool:
    """Return a workload to where it was; False if its place has been taken."""
    instance = state.problem.instance
    home = int(instance.wl_server[workload])
    if not state.accepts(workload, home=True)[home]:
        return False
    state.move(workload, home)
    return True


def search(
    best: State,
    rng: np.random.Generator,
    deadline: Callable[[], bool],
    *,
    rounds: int,
) -> State:
    """Large neighbourhood search from a state within all targets; gives up after idle rounds."""
    cost, idle = best.cost(), 0
    while idle < rounds and not deadline():
        trial = best.copy()
        tear(trial, rng)
        idle += 1
        if not Greedy(trial, noise=0.25, rng=rng).run():
            continue
        prune(trial)
        if trial.cost() < cost - 1e-9:
            best, cost, idle = trial, trial.cost(), 0
    return best


def tear(state: State, rng: np.random.Generator, most: int = 4) -> None:
    """Take up to ``most`` random actions back, half of the time from one rack.

    Small tears gained most a second when a plan is to become cheaper.
    """
    moved = state.moved()
    actions = np.concatenate([moved, -1 - np.flatnonzero(state.flipped)])
    if not len(actions):
        return
    count = int(rng.integers(1, most + 1))
    picked = rng.permutation(actions)[:count]
    if len(moved) and rng.random() < 0.5:
        picked = rng.permutation(_neighbours(state, moved, int(rng.choice(moved))))[:count]
    for action in picked:
        if action < 0:
            state.flip(int(-1 - action))
        else:
            take_back(state, int(action))


def _neighbours(state: State, moved: IntArray, workload: int) -> IntArray:
    """Moves that leave the same rack as a workload."""
    instance = state.problem.instance
    rack = instance.server_rack[instance.wl_server]
    return np.asarray(moved[rack[moved] == rack[workload]])
