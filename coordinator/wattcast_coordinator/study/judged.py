"""A room, perhaps with something out of service, judged with the next loss on top."""

import difflib
from dataclasses import dataclass, replace

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import Problem, build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.risk.judgement import Judgement, Over, judge_room
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Headroom:
    """How near a feed comes to its limits.

    Attributes:
        load_w, limit_w: highest quantile over the time looked at, and the continuous limit.
        after_w, limit_n1_w: the same after the worst further loss, and the emergency limit.
        worst: that loss; empty if none adds load.
    """

    feed: str
    load_w: float
    limit_w: float
    after_w: float
    limit_n1_w: float
    worst: str

    @property
    def left_w(self) -> float:
        """Watts left before either limit."""
        return min(self.limit_w - self.load_w, self.limit_n1_w - self.after_w)


@dataclass(frozen=True, slots=True)
class Judged:
    """A problem and its judgement; ``out`` is what is out of service.

    Planned outages last: with them the continuous limits hold, and the emergency limits are for
    the next loss.
    """

    problem: Problem
    room: Judgement
    out: frozenset[str]

    @property
    def graph(self) -> Graph:
        """Of the site."""
        return self.room.room.graph

    def over(self) -> list[Over]:
        """Everything over a limit, as it stands and after any further loss."""
        return self.room.over()

    def dark(self, contingency: str = "") -> tuple[str, ...]:
        """Servers without the cords that they need, as it stands or after a further loss."""
        rows = self.room.room.matrices.dark_servers(self.room.room.case(contingency))
        return tuple(self.graph.servers[int(row)] for row in rows)

    def darkened(self) -> dict[str, int]:
        """Further loss -> how many servers it would leave dark that are not dark already.

        Most first; a loss that darkens only some of what another one does is left out.
        """
        room = self.room.room
        now = frozenset(room.matrices.dark_servers(0).tolist())
        gone: dict[str, frozenset[int]] = {}
        for case, contingency in enumerate(room.contingencies, 1):
            dark = frozenset(room.matrices.dark_servers(case).tolist()) - now
            if dark and len(dark) > len(gone.get(contingency.name, ())):
                gone[contingency.name] = dark
        most = sorted(gone.items(), key=lambda item: -len(item[1]))
        kept: dict[str, frozenset[int]] = {}
        for name, dark in most:
            if not any(dark <= other for other in kept.values()):
                kept[name] = dark
        return {name: len(dark) for name, dark in kept.items()}

    def headroom(self) -> tuple[Headroom, ...]:
        """Of every feed that is in service."""
        single, graph = self.room.single, self.graph
        base_w = single.base.quantile_w(single.limits.z_base).max(1)
        rows_w = single.rows.quantile_w(single.limits.z_n1).max(1)
        names = self.room.room.contingencies
        out = []
        for feed in graph.feeds:
            node = graph.node[feed]
            if not self.room.room.matrices.feeding.live[node, 0]:
                continue
            mine = np.flatnonzero(single.matrices.node == node)
            worst = int(mine[np.argmax(rows_w[mine])]) if len(mine) else -1
            after_w = float(rows_w[worst]) if len(mine) else float(base_w[node])
            name = names[int(single.matrices.case[worst]) - 1].name if len(mine) else ""
            limits = single.limits
            out.append(
                Headroom(
                    feed,
                    float(base_w[node]),
                    float(limits.base_w[node]),
                    after_w,
                    float(limits.n1_w[node]),
                    name,
                )
            )
        return tuple(out)


def judge(
    graph: Graph,
    inputs: Inputs,
    decision: Decision,
    standing: Standing,
    out: frozenset[str] = frozenset(),
) -> Judged:
    """Lay a room out and judge it.

    Args:
        graph: the room.
        inputs: as of a decision cycle.
        decision: likewise.
        standing: what stands besides; nothing of ``out`` in it.
        out: out of service, planned or supposed.
    """
    problem = build(graph, inputs, decision, standing)
    # A server that was not measured counts with its full power; it cannot draw more than that.
    problem = replace(problem, instance=problem.evidence)
    return Judged(problem, _judged(graph, problem, out), out)


def placed(judged: Judged, wl_server: IntArray) -> Judged:
    """The same with the workloads placed otherwise."""
    return replace(judged, room=_judged(judged.graph, judged.problem, judged.out, wl_server))


def _judged(
    graph: Graph, problem: Problem, out: frozenset[str], wl_server: IntArray | None = None
) -> Judgement:
    found = judge_room(graph, problem.instance, out, wl_server)
    return replace(found, lost=frozenset())  # what is out stays out; the next loss is judged


def resolve(name: str, graph: Graph) -> str:
    """The node that people mean: ``UPS-A``, ``feed A``, ``rack PDU pdu-7-a``.

    Raises:
        ConfigError: no such node; the text names those there are.
    """
    words = name.split()
    alike: dict[str, list[str]] = {}
    for node in graph.nodes:
        alike.setdefault(node.lower(), []).append(node)
    for candidate in (name, words[-1] if words else ""):
        if candidate in graph.node:
            return candidate
        if len(found := alike.get(candidate.lower(), [])) == 1:
            return found[0]
    known = [n for n, word in zip(graph.nodes, graph.words, strict=True) if word != "phase"]
    close = difflib.get_close_matches(name.lower(), alike, n=3)
    if close:
        nearest = "', '".join(node for word in close for node in alike[word])
        raise ConfigError(f"'{name}' is not in the site; did you mean '{nearest}'?")
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    raise ConfigError(f"'{name}' is not in the site; known: {shown}")


def excess(over: Over) -> float:
    """Share of the limit by which the worst step exceeds it."""
    return over.excess(len(over.load))


def described(over: Over, graph: Graph) -> str:
    """What is over its limit, in words."""
    unit = "A" if over.line else "W"
    case = f" after the loss of {over.contingency}" if over.contingency else ""
    line = f" {over.line}" if over.line else ""
    return (
        f"{graph.words[over.node]} {graph.nodes[over.node]}{line}{case}: {over.load.max():.0f}"
        f" {unit} of {over.limit:.0f} {unit}"
    )
