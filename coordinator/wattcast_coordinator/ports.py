"""What the decision core sees and what it asks for: inputs, effects and the edges' protocols."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from wattcast_core.commands import CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.signature import Signature


class Severity(StrEnum):
    """How urgent an event is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Move:
    """Migrate a workload between servers; ``start_s`` after the plan was made (data)."""

    workload: str
    source: str
    target: str
    start_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bring an ATS from one source (``A`` | ``B``) to the other; ``start_s`` as in Move."""

    ats: str
    from_source: str
    to_source: str
    start_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A node that would exceed its limit.

    Attributes:
        contingency: id of the lost feed, or empty in the intact state.
        at: first data time at which the chosen quantile exceeds the limit.
        load_w, limit_w: largest quantile load over the horizon, and the limit.
        line: ``L1``, ``L2``, ``L3`` or ``N`` where amperes are over; watts then are those of one
            line at the lowest permitted voltage.
        load_a, limit_a: of that line.
    """

    node: str
    contingency: str
    at: datetime
    load_w: float
    limit_w: float
    probability: float
    line: str = ""
    load_a: float = 0.0
    limit_a: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A verified set of moves and transfers.

    Attributes:
        makespan_s: data seconds until the last action is done.
        lead_s: data seconds until the first violation it prevents.
        cures: violations it prevents.
        why: explanation, a line an operator can read each.
    """

    id: str
    made_at: datetime
    moves: tuple[Move, ...]
    transfers: tuple[Transfer, ...]
    makespan_s: float
    lead_s: float
    cures: tuple[Violation, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RaiseEvent:
    """Tell people; kept in the store and shown on the page."""

    severity: Severity
    kind: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StartMove:
    """Carry out a migration."""

    intent: str
    move: Move


@dataclass(frozen=True, slots=True)
class CommandAts:
    """Send an ATS command to the agent of its rack."""

    intent: str
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class OfferShedList:
    """No plan fits in time: what to switch off, lowest criticality first."""

    at: datetime
    workloads: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class AdoptPlan:
    """A plan was made; actions follow as their time comes."""

    plan: Plan


Effect = RaiseEvent | StartMove | CommandAts | OfferShedList | AdoptPlan


class MoveState(StrEnum):
    """How a migration stands."""

    RUNNING = "running"
    DONE = "done"
    UNDONE = "undone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MoveStatus:
    """A migration that was started; kept until the core has seen it finish.

    Attributes:
        step: the step under way, or how it ended.
        duration_s: real seconds it took so far in this run.
    """

    intent: str
    move: Move
    state: MoveState
    step: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workload uses of its server, as its cgroup counts it; NaN where not known.

    Attributes:
        cpu: CPU seconds a second.
        memory: bytes in use.
        io: bytes a second read and written.
    """

    cpu: float = math.nan
    memory: float = math.nan
    io: float = math.nan


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything one decision cycle may look at.

    Attributes:
        now: data time of the cycle.
        speed: data seconds a real second (makespans are real, lead times data).
        forecasts: latest forecast of each server.
        signatures: latest signature of each server.
        recent_w: recent power of each server, oldest first, on the model's step (for correlation).
        devices: latest state of each device.
        placement: workload -> server, as the executor observes it.
        moves: migrations under way or just finished.
        results: ATS results that arrived since the last cycle.
        agents: agent id -> data time of its last live batch.
        price_per_kwh: feed -> money a kWh over the horizon, with carbon and losses; a feed that is
            not in it has the site file's price.
        hourly_per_kwh: feed -> the same for the coming hours.
        entry_per_kw: feed -> money a kW that a workload placed there for good adds to the demand
            charge of its meter.
        usage: workload -> what it uses where it runs.
    """

    now: datetime
    speed: float
    forecasts: Mapping[str, Forecast]
    signatures: Mapping[str, Signature]
    recent_w: Mapping[str, Sequence[float]]
    devices: Mapping[str, DeviceState]
    placement: Mapping[str, str]
    moves: tuple[MoveStatus, ...] = ()
    results: tuple[CommandResult, ...] = ()
    agents: Mapping[str, datetime] = field(default_factory=dict)
    price_per_kwh: Mapping[str, float] = field(default_factory=dict)
    hourly_per_kwh: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    entry_per_kw: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)


class Redirector(Protocol):
    """A reverse proxy whose endpoints change without dropping a connection."""

    async def add(self, workload: str, address: str) -> None:
        """Attach an endpoint drained (no traffic); idempotent."""

    async def wait_up(self, workload: str, address: str) -> None:
        """Return when the proxy itself finds the endpoint healthy."""

    async def switch(self, workload: str, old: str, new: str) -> None:
        """Send new requests to ``new`` and drain ``old``; returns when confirmed."""

    async def active(self, workload: str, address: str) -> int:
        """Requests in flight at an endpoint."""

    async def endpoints(self, workload: str) -> Mapping[str, bool]:
        """Address -> receives traffic."""

    async def remove(self, workload: str, address: str) -> None:
        """Detach an endpoint; idempotent."""


class Executor(Protocol):
    """Starts, copies and stops instances of workloads on servers."""

    async def placement(self) -> Mapping[str, tuple[str, ...]]:
        """Workload -> servers on which an instance runs."""

    async def address(self, workload: str, server: str) -> str | None:
        """``host:port`` of a running instance, empty if stopped, None if nothing is kept."""

    async def start(self, workload: str, server: str) -> str:
        """Start an instance (idempotent) and return its ``host:port``."""

    async def pull(self, workload: str, source: str, target: str) -> int:
        """Copy state incrementally from server to server; bytes copied."""

    async def stop(self, workload: str, server: str) -> None:
        """Stop an instance (idempotent)."""

    async def discard(self, workload: str, server: str) -> None:
        """Remove the state of a stopped instance (idempotent)."""
