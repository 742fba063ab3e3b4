"""What people see: snapshots for REST and the page, and the protocol that provides them."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict

from wattcast_coordinator.ports import RaiseEvent
from wattcast_coordinator.store.contract import HistoryPoint


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_known)]
"""A number, or null where it is not known (JSON has no NaN)."""


class Snapshot(BaseModel):
    """Base of all snapshots; they never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class Point(Snapshot):
    """Load at a time."""

    at: datetime
    load_w: Number


class Fan(Snapshot):
    """Forecast of a load: element h of a list is for ``issued_at + (h + 1) * step_s``.

    Attributes:
        covered: share of the past day's loads at or below q10, q50, q90, q99 of an hour before;
            empty where the forecast is not calibrated.
        reason: ``calibrated: ...`` or ``summed: ...``, in words for an operator.
    """

    issued_at: datetime
    step_s: float
    q10: tuple[Number, ...]
    q50: tuple[Number, ...]
    q90: tuple[Number, ...]
    q99: tuple[Number, ...]
    covered: tuple[Number, ...] = ()
    reason: str = ""


class WorstLoss(Snapshot):
    """The contingency that brings a feed closest to its emergency limit.

    Attributes:
        load_w: quantile load then; ``margin_w``: what is left below the limit (negative: over).
        p_over: probability that the load exceeds the limit then, in the worst step: what "N-1
            secure" is worth.
    """

    contingency: str
    load_w: Number
    margin_w: Number = None
    p_over: Number = None


class FeedView(Snapshot):
    """A feed with its limits, past and forecast."""

    id: str
    load_w: Number
    limit_w: Number
    limit_n1_w: Number
    history: tuple[Point, ...] = ()
    forecast: Fan | None = None
    worst_n1: WorstLoss | None = None


class AtsView(Snapshot):
    """A transfer switch; ``sources`` names the rack PDU behind ``A`` and ``B``."""

    id: str
    rack: str
    active: str
    preferred: str
    quality: str
    sources: dict[str, str]
    load_w: Number = None
    problem: str = ""


class ServerView(Snapshot):
    """The latest signature of a server and which forecaster serves it."""

    id: str
    rack: str
    at: datetime
    power_w: Number
    cords_w: tuple[Number, ...]
    cpu_pct: Number
    memory_used_pct: Number = None
    inlet_temperature_c: Number = None
    quality: str
    application: str = ""
    forecast_kind: str = ""
    forecast_reason: str = ""
    forecast_q50_w: Number = None


class WorkloadView(Snapshot):
    """Where a workload runs."""

    id: str
    server: str
    application: str = ""
    movable: bool = False


class MigrationView(Snapshot):
    """A migration: ``state`` is running, done, undone or failed; durations are real seconds."""

    id: str
    workload: str
    source: str
    target: str
    state: str
    step: str = ""
    why: str = ""
    duration_s: Number = None


class CommandView(Snapshot):
    """A command to a transfer switch; verified means that the active source was read back."""

    id: str
    token: int
    ats: str
    from_source: str
    to_source: str
    state: str
    verified: bool = False
    why: str = ""


class MeterView(Snapshot):
    """A utility meter: money a kWh with carbon, fees and losses left out, in the coming hours.

    Attributes:
        peak_w: this month's highest mean so far, which the demand charge is paid for.
        doubts: what is not known as it should be.
    """

    id: str
    feeds: tuple[str, ...]
    currency: str
    hourly_per_kwh: tuple[Number, ...] = ()
    peak_w: Number = None
    doubts: tuple[str, ...] = ()


class JobView(Snapshot):
    """When a deferrable workload runs cheapest; ``at_once`` is the cost without waiting."""

    workload: str
    begin: datetime | None
    cost: Number
    at_once: Number


class EventView(Snapshot):
    """Something people should know."""

    at: datetime
    severity: str
    kind: str
    text: str


class RiskView(Snapshot):
    """A risk since it was first forecast.

    Attributes:
        contingency: the loss after which it would come; empty in the intact room.
        first_at: data time of the first forecast.
        due_at: when it would come, as first forecast.
        trip_s: data seconds until the node would trip, as last forecast; null if it would not.
        dark: servers that would be without supply in the end.
        shed: workloads to switch off when the loss comes, in order.
        shed_s: until their load is gone.
    """

    node: str
    contingency: str
    first_at: datetime
    due_at: datetime
    trip_s: Number = None
    dark: tuple[str, ...] = ()
    shed: tuple[str, ...] = ()
    shed_s: Number = None


class ReactionView(Snapshot):
    """Real milliseconds from reading the oldest sample of a step until its decision."""

    p50: Number = None
    p99: Number = None
    cycles: int = 0


class LeaderView(Snapshot):
    """Who decides; the token grows with each term (0 = nobody leads)."""

    id: str = ""
    token: int = 0


class AgentView(Snapshot):
    """An agent; last_seen is the data time of its last batch.

    ``reads`` is false for one that stands by; ``monitoring`` says where nobody stands by.
    """

    id: str
    rack: str
    connected: bool
    last_seen: datetime | None = None
    reads: bool = True
    monitoring: str = ""


class StoreView(Snapshot):
    """How much the signature database holds."""

    engine: str = "duckdb"
    samples: int = 0
    signatures: int = 0
    lstm: int = 0
    naive: int = 0
    rows: int = 0


class State(Snapshot):
    """Everything at one data time; ``plan`` is the explanation of the plan that stands."""

    now: datetime
    speed: float = 1.0
    feeds: tuple[FeedView, ...] = ()
    ats: tuple[AtsView, ...] = ()
    servers: tuple[ServerView, ...] = ()
    workloads: tuple[WorkloadView, ...] = ()
    migrations: tuple[MigrationView, ...] = ()
    commands: tuple[CommandView, ...] = ()
    events: tuple[EventView, ...] = ()
    risks: tuple[RiskView, ...] = ()
    plan: tuple[str, ...] = ()
    meters: tuple[MeterView, ...] = ()
    jobs: tuple[JobView, ...] = ()
    reaction_ms: ReactionView = ReactionView()
    leader: LeaderView = LeaderView()
    agents: tuple[AgentView, ...] = ()
    store: StoreView = StoreView()


class View(Protocol):
    """What the faces for people ask the coordinator."""

    def state(self) -> State:
        """The newest snapshot; the same object as long as nothing changed."""

    async def history(self, server: str, since: datetime) -> Sequence[HistoryPoint]:
        """Stored steps of a server, oldest first."""

    async def events(self, limit: int) -> Sequence[RaiseEvent]:
        """The newest stored events, newest first."""

    async def recording(self) -> dict[str, Any] | None:
        """What the last decision cycle saw, as a document; None before the first."""
