"""What bridges the loss of a source: battery minutes, and the generator's start and step."""

from dataclasses import dataclass

import numpy as np

from wattcast_configs.power import Ups
from wattcast_coordinator.risk.nminus import SingleLosses
from wattcast_coordinator.topology.compiled import Compiled


@dataclass(frozen=True, slots=True)
class Bridge:
    """A UPS that a contingency puts on its battery.

    Attributes:
        battery_s: how long it lasts at the load of that time; None = not known.
        needed_s: until a generator carries the load; infinite if nothing will.
        generator: that takes over, empty if none.
        step_w: load that the generator takes in one step (UPS that walk in come gently), and
            ``step_limit_w`` that it takes; infinite = not known.
    """

    contingency: str
    ups: str
    battery_s: float | None
    needed_s: float
    generator: str
    step_w: float = 0.0
    step_limit_w: float = np.inf

    @property
    def holds(self) -> bool:
        """Whether the load is bridged until something else carries it."""
        return self.battery_s is not None and self.battery_s >= self.needed_s

    @property
    def steps_well(self) -> bool:
        """Whether the generator takes the load in one step."""
        return self.step_w <= self.step_limit_w

    @property
    def gap(self) -> str:
        """What is missing, for an operator; empty if the load is carried through, or not known."""
        loss = f"the loss of {self.contingency}"
        if not self.generator:
            return ""  # the UPS runs empty whatever its battery; its load then counts as lost
        if self.battery_s is not None and not self.holds:
            return (
                f"{loss}: {self.ups} lasts {self.battery_s:.0f} s on its battery, {self.generator}"
                f" carries after {self.needed_s:.0f} s"
            )
        if not self.steps_well:
            return (
                f"{loss}: {self.generator} takes {self.step_w:.0f} W in one step and bears"
                f" {self.step_limit_w:.0f} W"
            )
        return ""


def bridges(room: Compiled, single: SingleLosses) -> list[Bridge]:
    """Every UPS that loses its input in some contingency, though it is not lost itself."""
    out = []
    for case, contingency in enumerate(room.contingencies, 1):
        here = [
            found
            for ups in room.graph.site.ups
            if ups.id not in contingency.lose
            and (found := _bridge(room, single, ups, case)) is not None
        ]
        out += _with_steps(room, here)
    return out


def _bridge(room: Compiled, single: SingleLosses, ups: Ups, case: int) -> Bridge | None:
    graph, feeding = room.graph, room.matrices.feeding
    node = graph.node[ups.id]
    source = int(graph.parent[node])
    if not feeding.live[source, 0] or room.contingencies[case - 1].step:
        return None
    name = room.contingencies[case - 1].id
    load_w = float(single.base.quantile_w(single.limits.z_n1)[node].max())
    battery_s = battery_time_s(ups, load_w / graph.limits[node].rating_w)
    if not feeding.live[source, case]:
        return Bridge(name, ups.id, battery_s, np.inf, "")
    if not feeding.rerouted[source, case]:
        return None
    way = feeding.paths(np.array([source]), np.array([case]))[0]
    starting = {g.id: g for g in graph.site.generator}
    for at in way[way >= 0]:
        found = starting.get(graph.nodes[int(at)])
        if found is not None:
            step_w = 0.0 if ups.walk_in_s else load_w
            limit_w = found.step_kw * 1000 or np.inf
            return Bridge(name, ups.id, battery_s, found.start_s, found.id, step_w, limit_w)
    return None


def _with_steps(room: Compiled, found: list[Bridge]) -> list[Bridge]:
    """Loads that one generator takes together add up, with the other loads behind it."""
    boards = {b.id: b for b in room.graph.site.board}
    out = []
    for bridge in found:
        together_w = sum(b.step_w for b in found if b.generator == bridge.generator)
        other_w = sum(
            b.other_w for b in boards.values() if bridge.generator in (b.source, b.alternative)
        )
        step_w = together_w + other_w if bridge.generator else 0.0
        out.append(
            Bridge(
                bridge.contingency,
                bridge.ups,
                bridge.battery_s,
                bridge.needed_s,
                bridge.generator,
                step_w,
                bridge.step_limit_w,
            )
        )
    return out


def battery_time_s(ups: Ups, load: float) -> float | None:
    """Seconds on battery at a load over rating; None if the site file does not say.

    Between two points the time is read linearly in the logarithm of both; below the lowest load it
    is that of the lowest; above the highest nothing is promised.
    """
    if not ups.battery:
        return None
    loads, times = np.array(sorted(ups.battery)).T
    if load > loads[-1]:
        return 0.0
    at = np.interp(np.log(max(load, 1e-9)), np.log(loads), np.log(times))
    return float(np.exp(at))
