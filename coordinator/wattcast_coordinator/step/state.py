"""What the decision core remembers from cycle to cycle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from wattcast_coordinator.aggregate.standing import Shift
from wattcast_coordinator.ports import Plan
from wattcast_coordinator.step import codec


class Phase(StrEnum):
    """How far an action of the plan is."""

    WAITING = "waiting"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Action:
    """One move or transfer of the plan.

    Attributes:
        name: the workload or the ATS.
        at: data time of the last change of phase.
        watts_w: of a move, dynamic power it takes along (reference hardware).
        lasts_s: of a move, how long it should take (data).
    """

    intent: str
    name: str
    at: datetime
    phase: Phase = Phase.WAITING
    watts_w: float = 0.0
    lasts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Episode:
    """A risk from its first forecast until it has not been forecast for some cycles.

    Attributes:
        first_at: data time of the first forecast.
        due_at: when the overload would have come, as first forecast.
        absent: cycles in a row without it.
        trip_s: data seconds until the node trips, as last forecast; None if it does not.
        dark: servers that would be without supply in the end.
        shed: workloads to switch off when the loss comes; ``shed_s``: until their load is gone.
    """

    node: str
    contingency: str
    first_at: datetime
    due_at: datetime
    absent: int = 0
    trip_s: float | None = None
    dark: tuple[str, ...] = ()
    shed: tuple[str, ...] = ()
    shed_s: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The decision core's memory; replaced, never changed; JSON by ``to_dict``.

    Attributes:
        cycle_at: data time of the last cycle.
        evidence_at: issue time of the newest forecast judged: one forecast is one evidence.
        seen: risks of the last cycles with new forecasts, newest last (``node|contingency``).
        episodes: risks under way.
        power_seen: marks of the last cycles, newest last: ``-F`` feed F dark, ``+F`` alive.
        lost: feeds held for lost.
        ats: last read source of each switch, 0 = A, 1 = B.
        locked: switches that an operator must clear, and why.
        rests: workloads and switches that may not be used again before a time.
        no_target: servers that may not receive a workload before a time.
        shifts: finished moves that readings may not show yet.
        plan: under way, with its actions.
        doubted: servers and switches already reported as stale.
        quiet: kinds of repeated advice, silent until a time.
        gaps: losses already told of that no battery or generator would carry through.
        expected_w: feed -> most that it was thought to carry at the next cycle (0.999 quantile).
    """

    cycle_at: datetime | None = None
    evidence_at: datetime | None = None
    seen: tuple[tuple[str, ...], ...] = ()
    episodes: tuple[Episode, ...] = ()
    power_seen: tuple[tuple[str, ...], ...] = ()
    lost: tuple[str, ...] = ()
    ats: Mapping[str, int] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)
    rests: Mapping[str, datetime] = field(default_factory=dict)
    no_target: Mapping[str, datetime] = field(default_factory=dict)
    shifts: tuple[Shift, ...] = ()
    plan: Plan | None = None
    actions: tuple[Action, ...] = ()
    doubted: tuple[str, ...] = ()
    quiet: Mapping[str, datetime] = field(default_factory=dict)
    expected_w: Mapping[str, float] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return dict(codec.plain(self))

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "State":
        """From what ``to_dict`` gave (DataError names what does not fit)."""
        return codec.typed(State, data, "state")

    def resting(self, now: datetime) -> frozenset[str]:
        """Workloads and switches in their dwell."""
        return frozenset(name for name, until in self.rests.items() if until > now)


def clear_lockout(state: State, ats: str) -> State:
    """An operator has looked at a switch and frees it."""
    return replace(state, locked={k: v for k, v in state.locked.items() if k != ats})
