"""Refusals in words."""

import numpy as np

from wattcast_coordinator.plan.names import name_of
from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.schedule import Schedule
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray

_LINES = 8  # nodes named at most


def explain_refusal(start: State, goal: State, schedule: Schedule) -> tuple[str, ...]:
    """Why no plan brings every node within its limits from lead_s on."""
    problem = start.problem
    over_w = _over_w(start)
    lines = [_conserved_line(start, row) for row in _worst(problem, over_w, problem.conserved)]
    pinned = np.setdiff1d(problem.fixed, problem.conserved)
    lines += [_pinned_line(start, row) for row in _worst(problem, over_w, pinned)]
    stuck = np.flatnonzero(goal.slack_w < 0)
    lines += [_stuck_line(goal, row) for row in _worst(problem, -goal.slack_w, stuck)]
    left = len(schedule.left_moves), len(schedule.left_transfers)
    if any(left) and not len(stuck):
        lines.append(
            f"{left[0]} moves and {left[1]} transfers cannot be completed safely within the lead"
            f" time of {problem.instance.lead_s:.0f} s"
        )
    return tuple(lines[:_LINES])


def _over_w(state: State) -> FloatArray:
    """[rows] watts over the limit at the worst step from lead_s on."""
    strict = state.load_w[:, state.problem.first_strict :]
    return np.asarray(strict.max(1, initial=-np.inf) - state.problem.rows.limit_w)


def _worst(problem: Problem, over_w: FloatArray, rows: IntArray) -> list[int]:
    """Of each node's rows the one with most excess, worst node first."""
    rows = rows[np.argsort(-over_w[rows], kind="stable")]
    first = np.unique(problem.rows.node[rows], return_index=True)[1]
    return [int(row) for row in rows[np.sort(first)]]


def _conserved_line(state: State, row: int) -> str:
    return (
        f"{row_name(state, row)}: {_over_w(state)[row]:.0f} W over, and every server hangs on it"
        " then (conservation): no move and no transfer inside the room changes that; only less"
        " load helps: cap, defer, stop idle servers or shed"
    )


def _pinned_line(state: State, row: int) -> str:
    return (
        f"{row_name(state, row)}: {_over_w(state)[row]:.0f} W over; what may not be moved exceeds"
        " the limit alone: cap, defer or shed"
    )


def _stuck_line(state: State, row: int) -> str:
    excess_w = -state.slack_w[row]
    return f"{row_name(state, row)}: {excess_w:.0f} W remain over its limit; {_hindrance(state)}"


def _hindrance(state: State) -> str:
    """What most likely keeps further actions from helping."""
    problem = state.problem
    instance = problem.instance
    if (problem.duration_s[instance.wl_movable] > problem.deadline_s).all():
        return f"no move can be completed within the lead time of {instance.lead_s:.0f} s"
    if len(state.moved()) >= instance.max_moves:
        return f"the churn budget allows {instance.max_moves} moves"
    return "no further movable workload finds a server with CPU, memory and power to spare in time"


def row_name(state: State, row: int) -> str:
    """Node and case of a row."""
    instance, rows = state.problem.instance, state.problem.rows
    case = int(rows.case[row])
    lost = int(instance.contingency[case - 1]) if case else -1
    return name_of(instance, int(rows.node[row]), lost)
