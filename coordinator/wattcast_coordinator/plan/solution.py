"""What the planner answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Solution:
    """A schedule of moves and transfers.

    Invariants: no state it passes through is worse than doing nothing, for any node, step and
    loss. If ``feasible``, everything is within limits from ``lead_s`` on; otherwise it is the
    best effort found, perhaps empty, and ``why`` says what stands in the way.

    Attributes:
        moves: (workload, server, start_s) each, by start.
        ats: (node, source, start_s) each, by start; source 0 = parent, 1 = alternative.
        makespan_s: when the last action is done.
        excess_before_w: watts over limits from ``lead_s`` on if nothing is done: each node at its
            worst step and loss, added up.
        excess_after_w: the same with the plan.
        cost: disruption, transfers and the change of energy cost over the horizon.
        why: lines that an operator can read.
        bound: a plan that cures everything costs at least about this; 0 if none is needed.
        standing: rules about capacity and groups that the room breaks before anything is done;
            the plan breaks no others, but a strict judge accepts none.
    """

    moves: tuple[tuple[int, int, float], ...]
    ats: tuple[tuple[int, int, float], ...]
    makespan_s: float
    feasible: bool
    excess_before_w: float
    excess_after_w: float
    cost: float
    why: tuple[str, ...]
    bound: float = 0.0
    standing: tuple[str, ...] = ()
