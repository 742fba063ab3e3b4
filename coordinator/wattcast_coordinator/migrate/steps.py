"""The steps of a migration, as data."""

from dataclasses import dataclass
from enum import StrEnum

from wattcast_coordinator.ports import MoveState


class StepName(StrEnum):
    """What to do next; all steps are idempotent.

    ``SWITCH`` is the pivot: steps before it are undone backwards, after it there is only forward.
    """

    OBSERVE = "observe"
    RETRIEVE = "bring home what an earlier migration left at the target"
    STOP_STALE = "stop what an earlier migration left at the target"
    DISCARD_STALE = "discard what an earlier migration left at the target"
    PRE_COPY = "pre-copy"
    START = "start target"
    HEALTHY = "wait until the target is healthy"
    ATTACH = "attach target drained"
    UP = "wait until the proxy finds the target healthy"
    CATCH_UP = "catch up, so that the final copy is short"
    QUIESCE = "quiesce source"
    FINAL_COPY = "final copy"
    RELOAD = "reload target"
    SWITCH = "switch"
    RELEASE = "release source"
    DRAIN = "drain source"
    MERGE = "merge what the source took after the final copy"
    REVIVE = "start source again to compare it"
    STOP_SOURCE = "stop source"
    DETACH = "detach endpoint"
    DISCARD_SOURCE = "discard source"
    STOP_TARGET = "undo: stop target"
    LEASE = "undo: wait until the source's lease ends"
    DISCARD_TARGET = "undo: discard target"


WAITS = frozenset({StepName.OBSERVE, StepName.HEALTHY, StepName.DRAIN, StepName.LEASE})
"""Steps that only wait for the next observation."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``address`` is the endpoint to detach."""

    name: StepName
    address: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The migration is over."""

    state: MoveState
    why: str


Action = Step | End
