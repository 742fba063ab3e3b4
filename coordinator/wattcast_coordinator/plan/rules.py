"""Whether every state of a plan keeps the rules that are not about power."""

import numpy as np

from wattcast_coordinator.plan.groups import Groups
from wattcast_coordinator.plan.itinerary import Itinerary
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_SLACK = 1e-6  # of capacities, and of seconds at the deadline


def broken_rules(instance: Instance, plan: Itinerary) -> list[str]:
    """What a plan violates, in words."""
    found = [*_malformed(instance, plan)]
    return found or [
        *_budgets(instance, plan),
        *_capacity(instance, plan),
        *_groups(instance, plan),
    ]


def _malformed(instance: Instance, plan: Itinerary) -> list[str]:
    nodes, servers = len(instance.node_parent), len(instance.server_cord)
    bad = {
        "a move goes to no known server": (plan.target < 0) | (plan.target >= servers),
        "a workload moves to its own server": plan.target == plan.source,
        "a workload that may not be moved moves": ~instance.wl_movable[plan.workload],
        "a workload moves twice": np.array([len(np.unique(plan.workload)) < len(plan.workload)]),
        "an ATS is transferred twice": np.array([len(np.unique(plan.node)) < len(plan.node)]),
        "a transfer is not of an ATS": (plan.node < 0) | (plan.node >= nodes),
        "an ATS has no such source": (plan.to != 0) & (plan.to != 1),
    }
    found = [text for text, where in bad.items() if where.any()]
    if not found and (instance.node_alt[plan.node] < 0).any():
        found.append("a transfer is not of an ATS")
    return found


def _budgets(instance: Instance, plan: Itinerary) -> list[str]:
    rack = instance.server_rack
    bad = {
        "max_moves": len(plan.workload) > instance.max_moves,
        "max_ats": len(plan.node) > instance.max_ats,
        "lead_s": plan.end_s > instance.lead_s + _SLACK,
        "max_parallel": plan.flying.sum(1).max(initial=0) > instance.max_parallel,
        "max_parallel_server": _most(plan, plan.source, plan.target) > instance.max_parallel_server,
        "max_parallel_rack": (
            _most(plan, rack[plan.source], rack[plan.target]) > instance.max_parallel_rack
        ),
    }
    return [f"{name} is exceeded" for name, broken in bad.items() if broken]


def _most(plan: Itinerary, source: IntArray, target: IntArray) -> int:
    """Most ends of moves under way that meet in one place; both ends count."""
    _, at = _places(source, target)
    return int((np.hstack([plan.flying, plan.flying]) @ at).max(initial=0))


def _places(source: IntArray, target: IntArray) -> tuple[IntArray, FloatArray]:
    """Distinct places, and [2 moves, places] 1 where a source, then a target, is."""
    places, where = np.unique(np.concatenate([source, target]), return_inverse=True)
    at = np.zeros((2 * len(source), len(places)))
    at[np.arange(len(where)), where] = 1
    return places, at


def _capacity(instance: Instance, plan: Itinerary) -> list[str]:
    """CPU and memory are held on both servers while a workload moves."""
    servers, at = _places(plan.source, plan.target)
    held = np.hstack([-plan.done.astype(float), plan.flying + plan.done.astype(float)])
    found = []
    for name in ("cpu", "mem"):
        demand, capacity = getattr(instance, f"wl_{name}"), getattr(instance, f"server_{name}")
        used = np.bincount(instance.wl_server, demand, len(capacity))
        then = used[servers] + (held * np.tile(demand[plan.workload], 2)) @ at
        if (used > capacity + _SLACK).any() or (then > capacity[servers] + _SLACK).any():
            found.append(f"server_{name} is exceeded")
    return found


def _groups(instance: Instance, plan: Itinerary) -> list[str]:
    """Members of a group sit apart, moving ones at both ends; of a quorum one moves at a time."""
    found = []
    if _meet(instance, instance.wl_anti, np.arange(len(instance.server_cord)), plan):
        found.append("members of an anti-affinity group share a server")
    if _meet(instance, instance.wl_quorum, instance.server_rack, plan):
        found.append("members of a quorum group share a rack")
    group = instance.wl_quorum[plan.workload]
    same = (group[:, None] == group) & (group >= 0) & ~np.eye(len(group), dtype=bool)
    if ((plan.flying.astype(int) @ same) * plan.flying).any():
        found.append("two members of a quorum group move at a time")
    return found


def _meet(instance: Instance, group: IntArray, place: IntArray, plan: Itinerary) -> bool:
    """Whether two members of a group are in the same place, now or at any time."""
    home = place[instance.wl_server]
    members = np.flatnonzero(group >= 0)
    spots = group[members] * (int(place.max(initial=0)) + 1) + home[members]
    if len(np.unique(spots)) < len(members):
        return True
    groups, move_of = Groups(group), {int(w): move for move, w in enumerate(plan.workload)}
    for move, workload in enumerate(plan.workload):
        goal = place[plan.target[move]]
        for other in groups.members(int(group[workload])):
            if other == workload:
                continue
            moves = move_of.get(int(other))
            stays = moves is None or plan.start_s[move] < plan.stop_s[moves]
            if (stays and home[other] == goal) or (
                moves is not None and place[plan.target[moves]] == goal
            ):
                return True
    return False
