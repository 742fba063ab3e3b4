"""Plans and refusals in words."""

import numpy as np

from wattcast_coordinator.plan.problem import Problem
from wattcast_coordinator.plan.schedule import Schedule
from wattcast_coordinator.plan.state import State
from wattcast_coordinator.topology.instance import IntArray

_KINDS = {0: "feed", 1: "panel", 2: "rack PDU", 3: "phase", 4: "ATS"}
_LINES = 8  # nodes named at most


def explain_plan(start: State, goal: State) -> tuple[str, ...]:
    """One line of summary, then one a node that the plan brings within its limit."""
    moves, transfers = len(goal.moved()), int(goal.flipped.sum())
    head = f"{moves} moves and {transfers} ATS transfers bring every node within its limits"
    return (head, *_node_lines(start, goal))


def explain_refusal(start: State, goal: State, schedule: Schedule) -> tuple[str, ...]:
    """Why no plan brings every node within its limits from lead_s on."""
    problem = start.problem
    over = np.flatnonzero(start.slack_w < 0)
    fixed = [int(row) for row in over if _conserved(problem, int(row))]
    lines = [_conservation_line(start, row) for row in worst_per_node(start, np.array(fixed, int))]
    stuck = np.setdiff1d(np.flatnonzero(goal.slack_w < 0), fixed)
    lines += [_stuck_line(goal, row) for row in worst_per_node(goal, stuck)]
    if not schedule.complete and not lines:
        lines.append(
            f"{len(schedule.left_moves)} moves and {len(schedule.left_transfers)} transfers cannot"
            f" be completed safely within the lead time of {problem.instance.lead_s:.0f} s"
        )
    return tuple(lines[:_LINES])


def worst_per_node(state: State, rows: IntArray) -> list[int]:
    """Of each node's rows the one with least slack, worst node first."""
    nodes: set[int] = set()
    out = []
    for row in rows[np.argsort(state.slack_w[rows], kind="stable")]:
        node = int(state.problem.rows.node[row])
        if node not in nodes:
            nodes.add(node)
            out.append(int(row))
    return out


def _conserved(problem: Problem, row: int) -> bool:
    """Whether a row takes the same share of every server, however it is fed."""
    share = problem.rows.dense(row)
    return bool(share.max() - share.min() < 1e-9)


def _conservation_line(state: State, row: int) -> str:
    return (
        f"{_name(state, row)}: {-state.slack_w[row]:.0f} W over, and every server hangs on it then"
        " (conservation): no move and no transfer inside the room changes that; only less load"
        " helps: cap, defer, stop idle servers or shed"
    )


def _stuck_line(state: State, row: int) -> str:
    return (
        f"{_name(state, row)}: {-state.slack_w[row]:.0f} W remain over its limit; no further"
        " movable workload finds a server with CPU, memory and power to spare in time"
    )


def _node_lines(start: State, goal: State) -> list[str]:
    """What each node that was over its limit gains."""
    over = worst_per_node(start, np.flatnonzero(start.slack_w < 0))
    lines = [
        f"{_name(start, row)}: {-start.slack_w[row]:.0f} W over its limit before,"
        f" {goal.slack_w[row]:.0f} W below it after"
        for row in over[:_LINES]
    ]
    return [*lines, f"and {len(over) - _LINES} further nodes"] if len(over) > _LINES else lines


def _name(state: State, row: int) -> str:
    """Node and case of a row."""
    problem = state.problem
    instance, rows = problem.instance, problem.rows
    node, case = int(rows.node[row]), int(rows.case[row])
    text = f"{_KINDS.get(int(instance.node_kind[node]), 'node')} {node}"
    if case == 0:
        return f"{text} intact"
    lost = int(instance.contingency[case - 1])
    return f"{text} after the loss of {_KINDS.get(int(instance.node_kind[lost]), 'node')} {lost}"
