"""Live through recorded steps under a way of operation, and count what went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.plan import Solution, solve
from wattcast_coordinator.topology.instance import Instance
from wattcast_core.units import FloatArray
from wattcast_tools.capacity.policy import Placement, Policy
from wattcast_tools.capacity.pool import Pool
from wattcast_tools.capacity.room import STEP_S, Feeds, Room

SETTLING = 12  # first steps, in which a room as delivered may be put right; not counted
_REST = 3  # steps after a plan that does not suffice: the room seldom changes faster
_TOLERANCE_W = 1e-6


@dataclass(frozen=True, slots=True)
class Lived:
    """What happened.

    Attributes:
        violations: counted steps in which a feed was over its limit, or would have been had any
            one feed been lost.
        moves, transfers: actions begun, all steps.
        disruption: cost of those actions as the planner counts it, without energy.
        kwh: energy drawn in the counted steps; money and carbon go with it.
    """

    violations: int
    moves: int
    transfers: int
    disruption: float
    kwh: float


@dataclass(frozen=True, slots=True)
class _Flight:
    """A move under way: it draws at both ends from step ``begin`` and is done before ``end``."""

    begin: int
    end: int
    workload: int
    server: int


def live(pool: Pool, room: Room, policy: Policy, steps: range, *, strict: bool = False) -> Lived:
    """Operate a room over ``steps``.

    Args:
        pool: what the machines did.
        room: as delivered.
        policy: the way of operation.
        steps: of the recording.
        strict: give up at the first violation.
    """
    feeds = Feeds(room)
    now = Placement(room.instance.wl_server, room.instance.ats_source)
    flights: list[_Flight] = []
    violations = moves = transfers = 0
    energy_w, disruption, rest_until = 0.0, 0.0, steps.start
    for step in steps:
        now, flights = _arrived(now, flights, step)
        power_w = _power(room, now, flights, step, room.watts(pool.use[:, step]))
        if step >= steps.start + SETTLING:
            energy_w += float(power_w.sum())
            over_w = feeds.fractions(now.ats_source) @ power_w - room.limit_w
            violations += bool(over_w.max() > _TOLERANCE_W)
            if strict and violations:
                break
        if flights or step < rest_until:
            continue
        plan = _plan(policy.problems(room, feeds, now, step))
        if plan is None:
            continue
        if not plan.feasible:
            rest_until = step + 1 + _REST
        now, flights = _begun(room, now, plan, step + 1)
        moves, transfers = moves + len(plan.moves), transfers + len(plan.ats)
        disruption += _disruption(room.instance, plan)
    return Lived(violations, moves, transfers, disruption, energy_w * STEP_S / 3.6e6)


def _disruption(instance: Instance, plan: Solution) -> float:
    moved = [workload for workload, _, _ in plan.moves]
    each = instance.crit_cost[instance.wl_crit] * (1 + instance.wl_state_gib / 64)
    switched = [node for node, _, _ in plan.ats]
    return float(each[moved].sum() + instance.ats_cost[switched].sum())


def _power(
    room: Room, now: Placement, flights: Sequence[_Flight], step: int, watts: FloatArray
) -> FloatArray:
    """[S] what servers draw in a step; a move under way draws at its destination too."""
    begun = [f for f in flights if f.begin <= step]
    place = np.concatenate([now.server, [f.server for f in begun]]).astype(np.int64)
    drawn = np.concatenate([watts, watts[[f.workload for f in begun]]])
    idle_w = room.instance.server_idle_w
    return np.asarray(idle_w + np.bincount(place, drawn, len(idle_w)))


def _arrived(now: Placement, flights: list[_Flight], step: int) -> tuple[Placement, list[_Flight]]:
    done = [f for f in flights if f.end <= step]
    if not done:
        return now, flights
    server = now.server.copy()
    for flight in done:
        server[flight.workload] = flight.server
    return replace(now, server=server), [f for f in flights if f.end > step]


def _begun(
    room: Room, now: Placement, plan: Solution, first: int
) -> tuple[Placement, list[_Flight]]:
    """Start a plan with step ``first``; a transfer takes effect at once."""
    ats_source = now.ats_source.copy()
    for node, source, _ in plan.ats:
        ats_source[node] = source
    instance = room.instance
    lasts_s = instance.setup_s + 1024 * instance.wl_state_gib / instance.wl_bw_mibs
    flights = [
        _Flight(
            first + int(start_s // STEP_S),
            first + int(np.ceil((start_s + lasts_s[workload]) / STEP_S)),
            workload,
            server,
        )
        for workload, server, start_s in plan.moves
    ]
    return replace(now, ats_source=ats_source), flights


def _plan(problems: Sequence[Instance]) -> Solution | None:
    """The first plan that suffices, else the one that relieves most; None if nothing is asked."""
    best: Solution | None = None
    for problem in problems:
        found = solve(problem, deadline=lambda: True)
        if found.feasible:
            return found
        if best is None or found.excess_after_w < best.excess_after_w:
            best = found
    return best
