"""Whether every state of a plan keeps the rules that are not about power."""

import numpy as np

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.plan.groups import Groups
from wattcast_coordinator.plan.heat import rack_heat_w
from wattcast_coordinator.plan.itinerary import Itinerary
from wattcast_coordinator.topology.instance import Instance, IntArray
from wattcast_core.units import FloatArray

_WATTS = 1e-3  # rounding
_SLACK = 1e-6  # of capacities, and of seconds at the deadline


def broken_rules(instance: Instance, plan: Itinerary) -> list[str]:
    """What a plan, or the room before anything is done, violates, in words."""
    return _malformed(instance, plan) or [
        *_budgets(instance, plan),
        *_capacity(instance, plan),
        *_cooling(instance, plan),
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
        "max_parallel": plan.flying.sum(1).max(initial=0) > instance.max_parallel,
        "max_parallel_server": _most(plan, plan.source, plan.target) > instance.max_parallel_server,
        "max_parallel_rack": (
            _most(plan, rack[plan.source], rack[plan.target]) > instance.max_parallel_rack
        ),
    }
    found = [f"{name} is exceeded" for name, broken in bad.items() if broken]
    if plan.end_s > instance.lead_s + _SLACK:
        found.append(f"done after {plan.end_s:.0f} s, but the lead time is {instance.lead_s:.0f} s")
    return found


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
        over = used > capacity + _SLACK
        over[servers] |= (then > capacity[servers] + _SLACK).any(0)
        found += [
            f"server_{name} of server {server} is exceeded" for server in np.flatnonzero(over)
        ]
    return found


def _cooling(instance: Instance, plan: Itinerary) -> list[str]:
    """Mean heat of a rack stays within what can be taken away, or at what it is anyway."""
    if not len(instance.rack_cooling_w):
        return []
    drawn = server_loads(instance, instance.wl_server)
    present_w = rack_heat_w(instance, drawn.mean_w)
    ends = np.concatenate([plan.source, plan.target])
    racks, at = _places(instance.server_rack[plan.source], instance.server_rack[plan.target])
    held = np.hstack([-plan.done.astype(float), plan.flying + plan.done.astype(float)])
    watts = instance.server_eff[ends, None] * instance.wl_w[np.tile(plan.workload, 2)]
    change_w = np.einsum("se,er,eh->srh", held, at, watts, optimize=True)
    limit_w = np.maximum(instance.rack_cooling_w[racks, None], present_w[racks])
    over = (present_w[racks] + change_w > limit_w + _WATTS).any((0, 2))
    return [f"rack_cooling_w of rack {rack} is exceeded" for rack in racks[over]]


def _groups(instance: Instance, plan: Itinerary) -> list[str]:
    """Members of a group sit apart, moving ones at both ends; of a quorum one moves at a time."""
    servers = np.arange(len(instance.server_cord))
    anti = _crowded(instance, instance.wl_anti, servers, plan)
    found = [f"members of anti-affinity group {group} share a server" for group in anti]
    quorum = _crowded(instance, instance.wl_quorum, instance.server_rack, plan)
    found += [f"members of quorum group {group} share a rack" for group in quorum]
    group = instance.wl_quorum[plan.workload]
    same = (group[:, None] == group) & (group >= 0) & ~np.eye(len(group), dtype=bool)
    if ((plan.flying.astype(int) @ same) * plan.flying).any():
        found.append("two members of a quorum group move at a time")
    return found


def _crowded(instance: Instance, group: IntArray, place: IntArray, plan: Itinerary) -> list[int]:
    """Groups of which two members are in the same place, now or at any time."""
    home = place[instance.wl_server]
    members = np.flatnonzero(group >= 0)
    size = int(place.max(initial=0)) + 1
    spots, count = np.unique(group[members] * size + home[members], return_counts=True)
    found = {int(spot) // size for spot in spots[count > 1]}
    groups, move_of = Groups(group), {int(w): move for move, w in enumerate(plan.workload)}
    for move, workload in enumerate(plan.workload):
        others = groups.members(int(group[workload]))
        if any(_meets(move, int(w), move_of, (place, home), plan) for w in others if w != workload):
            found.add(int(group[workload]))
    return sorted(found)


def _meets(
    move: int,
    other: int,
    move_of: dict[int, int],
    where: tuple[IntArray, IntArray],
    plan: Itinerary,
) -> bool:
    """Whether a move ends where another workload is, will be, or still is when it starts."""
    place, home = where
    goal, moves = place[plan.target[move]], move_of.get(other)
    if moves is None:
        return bool(home[other] == goal)
    stays = plan.start_s[move] < plan.stop_s[moves]
    return bool((stays and home[other] == goal) or place[plan.target[moves]] == goal)
