"""The story of one day, drawn from a seed: who runs where, and how the load drifts. Pure.

Ratings follow from the number of racks alone, so no seed is made easier by its limits.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from wattcast_tools.room.layout import Ats, Event, Feed, Layout, Pdu, Server, Workload
from wattcast_tools.room.traces import Platform
from wattcast_tools.room.trips import BREAKER, UPS

STEP_S = 300
HISTORY_S = 64 * STEP_S
HISTORY_SPEED = 300.0
FEEDS = ("A", "B", "C")
BASE_CPU = 0.03  # operating system
DRIFT_MIN = (-10.0, 70.0)  # the ramp, data minutes after the story's start
CALM_SHARE = 0.1  # of the days: next to no drift

_MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)  # a Monday like the first recorded day
_FEED_W = 5000.0  # a group of three racks
_PDU_W = 32 * 230.0
_ATS_W = 16 * 230.0
_SHARE_A = (0.57, 0.60)  # of a dual-corded server's power: the cord on the rack's first feed
_SHARE_R2 = (0.47, 0.53)


@dataclass(frozen=True)
class Slot:
    """What stands in one place of a rack: server type and CPU of its own and its movable load."""

    platform: str
    cpu: float
    drift: float = 0.0
    movable_cpu: float = 0.0
    movable_drift: float = 0.0


@dataclass(frozen=True)
class RackPlan:
    """The rack of one feed pair: slots s01..s12 and the appliance behind the ATS."""

    application: str
    slots: tuple[Slot, ...]
    appliance: Slot
    share_a: tuple[float, float]
    request: tuple[float, float]  # CPU that dual-corded servers' own and movable loads ask for
    behind_ats_criticality: int


# r1 holds the shop, whose load grows, and a storage node that fills; r2 is new and lightly used.
_PLANS = (
    RackPlan(
        application="shop",
        slots=(
            *[Slot("m5.12xlarge", 0.12, 0.0, 0.18, 0.54)] * 4,
            *[Slot("c6g.metal", 0.12)] * 6,
            *[Slot("m5.12xlarge", 0.25, 0.29)] * 2,
        ),
        appliance=Slot("i3en.metal", 0.03, 0.57),
        share_a=_SHARE_A,
        request=(0.15, 0.70),
        behind_ats_criticality=1,
    ),
    RackPlan(
        application="mail",
        slots=(
            *[Slot("c6g.metal", 0.12, 0.0, 0.10)] * 4,
            *[Slot("c6g.metal", 0.16)] * 6,
            *[Slot("c6g.metal", 0.38)] * 2,
        ),
        appliance=Slot("a1.metal", 0.30),
        share_a=_SHARE_R2,
        request=(0.20, 0.12),
        behind_ats_criticality=3,
    ),
    RackPlan(
        application="report",
        slots=(
            *[Slot("m6g.metal", 0.12, 0.0, 0.20, 0.14)] * 4,
            *[Slot("m6g.metal", 0.30, 0.09)] * 6,
            *[Slot("c6g.metal", 0.30)] * 2,
        ),
        appliance=Slot("a1.metal", 0.30),
        share_a=(0.40, 0.44),  # side a is feed C here
        request=(0.45, 0.40),
        behind_ats_criticality=3,
    ),
)


@dataclass(frozen=True)
class Scenario:
    """A day in the room.

    Attributes:
        start: data time at which the story begins; the history lies before it.
        trace_start_s: place in the recordings that belongs to ``start``.
        strength: factor on every drift of the day.
        noise_seed: seed of the fast noise and the meters.
        duration_s: length of the story.
    """

    seed: int
    layout: Layout
    start: datetime
    trace_start_s: float
    strength: float
    noise_seed: int
    duration_s: float = 6000.0
    events: tuple[Event, ...] = field(default_factory=tuple)

    @property
    def calm(self) -> bool:
        """Whether the day hardly drifts, so that nothing needs to be done."""
        return self.strength < 0.5

    def ramp(self, at_s: float) -> float:
        """How much of the drift has come, 0..1, ``at_s`` after the story's start."""
        first, last = (60.0 * m for m in DRIFT_MIN)
        place = min(max((at_s - first) / (last - first), 0.0), 1.0)
        return float(self.strength * place**1.2)


def build(
    seed: int,
    platforms: dict[str, Platform],
    *,
    racks: int = 3,
    duration_min: float = 100.0,
    steady: bool = False,
    lost: tuple[Event, ...] | None = None,
) -> Scenario:
    """Draw the day of a seed.

    Args:
        seed: 1, 2, ...
        platforms: power curves by name.
        racks: racks take the feed pairs A/B, B/C, C/A in turn; at least 3.
        duration_min: length of the story in data minutes.
        steady: no drift and no loss.
        lost: feeds that are lost; default: A, three quarters through a 100-minute story.

    Raises:
        ValueError: fewer than 3 racks.
    """
    if racks < 3:
        raise ValueError(f"--racks {racks}: distributed redundancy needs at least 3 racks")
    rng = np.random.default_rng([2027, seed])
    strength = _strength(rng)
    day = timedelta(days=int(rng.integers(5)))
    layout = _layout(rng, platforms, racks)
    events = (Event(75 * 60.0, "A"),) if lost is None else lost
    return Scenario(
        seed=seed,
        layout=layout,
        start=_MONDAY + day,
        trace_start_s=8 * 3600.0 + day.total_seconds(),
        strength=0.0 if steady else strength,
        noise_seed=int(rng.integers(2**31)),
        duration_s=60.0 * duration_min,
        events=() if steady else events,
    )


def _strength(rng: np.random.Generator) -> float:
    calm, ordinary, quiet = rng.random(), rng.uniform(0.98, 1.04), rng.uniform(0.0, 0.08)
    return float(quiet if calm < CALM_SHARE else ordinary)


def _layout(rng: np.random.Generator, platforms: dict[str, Platform], racks: int) -> Layout:
    names = tuple(f"r{i + 1}" for i in range(racks))
    servers: list[Server] = []
    workloads: list[Workload] = []
    for index, rack in enumerate(names):
        plan = _PLANS[index % 3]
        servers += _servers(rng, rack, plan, platforms)
        workloads += _workloads(rng, rack, plan)
    return Layout(
        feeds=tuple(_feed(name, racks) for name in FEEDS),
        racks=names,
        pdus=tuple(_pdu(rack, i, side) for i, rack in enumerate(names) for side in (0, 1)),
        switches=tuple(
            Ats(f"ats-{r}", r, (f"pdu-{r}-a", f"pdu-{r}-b"), rating_w=_ATS_W) for r in names
        ),
        servers=tuple(servers),
        workloads=tuple(workloads),
    )


def _feed(name: str, racks: int) -> Feed:
    # UPS modules are bought for whole groups of three racks: the story is tight in multiples of 3.
    rating_w = _FEED_W * -(-racks // 3)
    return Feed(name, rating_w, 0.8 * rating_w, rating_w, UPS)


def _pdu(rack: str, index: int, side: int) -> Pdu:
    feed = FEEDS[(index + side) % 3]
    letter = "ab"[side]
    return Pdu(f"pdu-{rack}-{letter}", rack, feed, letter, _PDU_W, 0.8 * _PDU_W, _PDU_W, BREAKER)


def _servers(
    rng: np.random.Generator, rack: str, plan: RackPlan, platforms: dict[str, Platform]
) -> list[Server]:
    out = []
    for number, slot in enumerate(plan.slots, start=1):
        dual = number <= 10
        share = round(float(rng.uniform(*plan.share_a)), 3) if dual else None
        out.append(Server(f"{rack}-s{number:02}", rack, platforms[slot.platform], share, dual))
    out.append(Server(f"{rack}-sw", rack, platforms[plan.appliance.platform], None, hosts=False))
    return out


def _workloads(rng: np.random.Generator, rack: str, plan: RackPlan) -> list[Workload]:
    out = []
    for number, slot in enumerate(plan.slots, start=1):
        server, behind = f"{rack}-s{number:02}", number > 10
        request = max(plan.request[0], slot.cpu) if not behind else slot.cpu + 0.1
        critical = plan.behind_ats_criticality if behind else int(rng.integers(2, 5))
        out.append(_load(rng, server, "base", critical, slot, request))
        if slot.movable_cpu:
            name = f"{plan.application}-{rack}-{number}"
            out.append(_movable(rng, name, server, plan, slot))
    name, critical = f"{rack}-sw", plan.behind_ats_criticality
    out.append(_load(rng, name, "appliance", critical, plan.appliance, 0.7))
    return out


def _load(
    rng: np.random.Generator, server: str, application: str, criticality: int,
    slot: Slot, request: float,
) -> Workload:  # fmt: skip
    return Workload(
        id=f"{server}-base", server=server, application=application, version="1.0",
        criticality=criticality, movable=False, mem_gib=16.0, state_gib=0.0,
        cpu_request=request, cpu=slot.cpu, drift_cpu=slot.drift, machines=_machines(rng),
    )  # fmt: skip


def _movable(
    rng: np.random.Generator, name: str, server: str, plan: RackPlan, slot: Slot
) -> Workload:
    return Workload(
        id=name, server=server, application=plan.application, version="2.3",
        criticality=int(rng.integers(1, 4)), movable=True, mem_gib=8.0, state_gib=0.01,
        cpu_request=plan.request[1], cpu=slot.movable_cpu, drift_cpu=slot.movable_drift,
        machines=_machines(rng),
    )  # fmt: skip


def _machines(rng: np.random.Generator) -> tuple[int, int]:
    first, second = rng.choice(48, size=2, replace=False)
    return int(first), int(second)
