"""The story without sockets, for benchmarks: the same world, meters and delays.

    story = Story(build(1, load_platforms()))
    for step in range(-64, 0): history.append(story.metered(step))
    while not story.over:
        seen = story.metered(step)          # moves the world to the end of that step
        story.migrate("shop-r1-1", "r2-s05", at=story.now_s + 30)
        story.transfer("ats-r1", "B", at=story.now_s + 60)
    story.truth()

Times are data seconds after the story's start (negative in the history); ``step`` k is the 300 s
that begin at 300 k. Nothing here shows the future, the drift or the true loads.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from wattcast_tools.room import hosts
from wattcast_tools.room.guard_band import GuardBand, Migrate, View
from wattcast_tools.room.metering import SLOT_S, Metering
from wattcast_tools.room.model import World
from wattcast_tools.room.routing import FloatArray
from wattcast_tools.room.scenario import HISTORY_S, STEP_S, Scenario
from wattcast_tools.room.traces import load_traces

# As measured live at speed 75: a migration takes 2 to 4 real s, a transfer with read-back 1 s.
MOVE_S = 300.0
TRANSFER_S = 75.0
_SAMPLES = int(STEP_S // SLOT_S)


@dataclass(frozen=True)
class Metered:
    """What agents would have measured in one step, means over it; NaN where nothing was read.

    Attributes:
        end_s: end of the step, data seconds after the story's start.
        servers: ids, the order of all rows.
        cords_w: [server, 2] power of each cord; one cord behind an ATS: second column NaN.
        power_w: [server] sum of its cords.
        feeds_w: [feed] sum of the inlet meters of its rack PDUs.
        cpu_pct, memory_used_pct: [server].
        net_rx_bytes_per_s, net_tx_bytes_per_s: [server].
        disk_read_bytes_per_s, disk_write_bytes_per_s: [server].
    """

    end_s: float
    servers: tuple[str, ...]
    cords_w: FloatArray
    power_w: FloatArray
    feeds_w: FloatArray
    cpu_pct: FloatArray
    memory_used_pct: FloatArray
    net_rx_bytes_per_s: FloatArray
    net_tx_bytes_per_s: FloatArray
    disk_read_bytes_per_s: FloatArray
    disk_write_bytes_per_s: FloatArray


class Story:
    """One day, from the history's first step to the story's end.

    Attributes:
        world, meters: the truth and the meters; for the live room, not for a policy.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.layout = scenario, scenario.layout
        self.world = World(scenario, load_traces())
        self.meters = Metering(self.world)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    @property
    def now_s(self) -> float:
        """Data time, seconds after the story's start."""
        return self.world.now_s

    @property
    def over(self) -> bool:
        """Whether the story has been told."""
        return self.now_s >= self.scenario.duration_s

    @property
    def feeds_up(self) -> dict[str, bool]:
        """Feed -> alive, as its voltage shows."""
        return {f.id: bool(u) for f, u in zip(self.layout.feeds, self.world.feed_up, strict=True)}

    @property
    def placement(self) -> dict[str, tuple[str, ...]]:
        """Workload -> servers on which it runs."""
        names = [s.id for s in self.layout.servers]
        return {
            w.id: tuple(names[i] for i in np.flatnonzero(self.world.runs[k]))
            for k, w in enumerate(self.layout.workloads)
        }

    @property
    def sources(self) -> dict[str, str]:
        """ATS -> active source, ``A`` (side a) or ``B``."""
        pairs = zip(self.layout.switches, self.world.active, strict=True)
        return {s.id: "AB"[inlet] for s, inlet in pairs}

    def metered(self, step: int) -> Metered:
        """Tell the story to the end of a step and return what was measured in it.

        Raises:
            ValueError: the step has been told already.
        """
        first_s = float(step * STEP_S)
        if first_s < self.now_s - 1e-9 and step > -HISTORY_S // STEP_S:
            raise ValueError(f"step {step} lies before {self.now_s:.0f} s")
        powers, metrics = [], []
        for sample in range(1, _SAMPLES + 1):
            self.advance(first_s + sample * SLOT_S)
            powers.append(self.meters.readings_w())
            metrics.append(hosts.rates(self.world))
        means = {k: np.mean([m[k] for m in metrics], axis=0) for k in metrics[0]}
        return self._metered(first_s + STEP_S, _nanmean(np.array(powers)), means)

    def _metered(self, end_s: float, meter_w: FloatArray, m: dict[str, FloatArray]) -> Metered:
        index, world = self.meters.index, self.world
        cords = np.full((len(self.layout.servers), 2), np.nan)
        for (server, side), meter in index.cords.items():
            cords[world.server_index[server], side] = meter_w[meter]
        single = world.router.switch_of >= 0
        inlets_w = meter_w[list(index.inlets.values())]
        return Metered(
            end_s=end_s,
            servers=tuple(s.id for s in self.layout.servers),
            cords_w=cords,
            power_w=np.where(single, cords[:, 0], cords.sum(axis=1)),
            feeds_w=inlets_w @ world.router.to_feed,
            cpu_pct=100.0 * m["cpu"],
            memory_used_pct=100.0 * m["memory_used"],
            net_rx_bytes_per_s=m["net_rx_b"],
            net_tx_bytes_per_s=m["net_tx_b"],
            disk_read_bytes_per_s=m["disk_read_b"],
            disk_write_bytes_per_s=m["disk_write_b"],
        )

    def advance(self, to_s: float) -> None:
        """Tell the story up to a data time, carrying out what falls due, and read the meters."""
        while self._due and self._due[0][0] <= to_s:
            at_s, _, action = heapq.heappop(self._due)
            self.world.advance(at_s)
            action()
        self.world.advance(to_s)
        self.meters.sample()

    def migrate(self, workload: str, target: str, at: float) -> float:
        """Move a workload at a data time; returns when it is done.

        It runs, and draws power, on both servers meanwhile. On a dark target nothing happens.
        """
        sources = self.placement[workload]
        self._at(at, partial(self.world.start, workload, target))
        for source in sources:
            if source != target:
                self._at(at + MOVE_S, partial(self._end, workload, source, target))
        return at + MOVE_S

    def _end(self, workload: str, source: str, target: str) -> None:
        """The source is only stopped while the target lives."""
        if target in self.placement[workload]:
            self.world.stop(workload, source)

    def transfer(self, ats: str, to: str, at: float) -> float:
        """Prefer source ``A`` or ``B`` of an ATS at a data time; returns when it is done."""
        self._at(at, partial(self.world.prefer, ats, "AB".index(to), TRANSFER_S))
        return at + TRANSFER_S

    def truth(self) -> dict[str, Any]:
        """What really happened so far, in data minutes (see truth.py)."""
        return self.world.truth.report()

    def view(self) -> View:
        """The latest readings as the guard band sees them."""
        index, world = self.meters.index, self.world
        shown_w = self.meters.power_w  # a rule without quality marks takes the last value
        owner = [world.server_index[s] for s, _ in index.cords]
        server_w = np.bincount(owner, shown_w[: len(owner)], len(self.layout.servers))
        return View(
            server_w=np.asarray(server_w, dtype=float),
            cpu=world.loads.cpu.copy(),
            runs=world.runs > 0,
            feed_up=world.feed_up.copy(),
            active=tuple(world.active),
        )

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(at_s, self.now_s), next(self._order), action))


def run_policy(scenario: Scenario, policy: str) -> dict[str, Any]:
    """Tell a whole story under ``none`` or ``guard_band``; the truth.

    Raises:
        ValueError: no such policy.
    """
    story = Story(scenario)
    if policy not in {"none", "guard_band"}:
        raise ValueError(f"policy {policy!r}: known are none, guard_band")
    rule = GuardBand(scenario.layout) if policy == "guard_band" else None
    story.advance(0.0)
    while not story.over:
        story.advance(story.now_s + SLOT_S)
        if rule is not None:
            apply_rule(rule, story)
    return story.truth()


def apply_rule(rule: GuardBand, story: Story) -> None:
    """Let the guard band look once, and carry out what it wants."""
    action = rule.decide(story.view(), story.now_s)
    if action is None:
        return
    if isinstance(action, Migrate):
        done_s = story.migrate(action.workload, action.target, story.now_s)
    else:
        done_s = story.transfer(action.ats, action.to, story.now_s)
    rule.busy_until(done_s)


def _nanmean(values: FloatArray) -> FloatArray:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    number = known.sum(axis=0)
    return np.asarray(np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0))
