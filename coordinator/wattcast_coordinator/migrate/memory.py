"""What one run remembers between observations; empty after a restart, which is always safe."""

from dataclasses import dataclass, replace
from typing import Any

from wattcast_coordinator.migrate.steps import Step, StepName
from wattcast_coordinator.migrate.world import World


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a migration, real seconds.

    Attributes:
        before_s, undo_s, after_s: longest time before the switch, for undoing, after the switch.
        margin_s: the switch is ordered only while so much of the lease remains.
        drain_s: longest wait for requests in flight at a released source.
        tries: consecutive failures, and quiesces, before the migration is undone.
    """

    before_s: float = 60.0
    undo_s: float = 30.0
    after_s: float = 60.0
    margin_s: float = 2.0
    drain_s: float = 15.0
    tries: int = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """Progress that cannot be observed, or only at a cost.

    Attributes:
        began_s, undo_s, pivot_s: when the run, the undoing, the time after the switch began.
        why: latest failure, or why it is undone.
        retrieved: the target keeps no record that the source lacks.
        up: address the proxy found healthy.
        caught_up: copied again after the target had started.
        copied, reloaded: quiesce generation whose state the target has on disk, has loaded.
        closed: the source can have no acknowledged write that the target lacks.
        merged: records the source took after the final copy, brought to the target.
    """

    began_s: float
    undo_s: float | None = None
    pivot_s: float | None = None
    why: str = ""
    failures: int = 0
    retrieved: bool = False
    precopied: bool = False
    up: str = ""
    caught_up: bool = False
    quiesces: int = 0
    copied: int | None = None
    reloaded: int | None = None
    closed: bool = False
    merged: int = 0


def note(memory: Memory, world: World, limits: Limits) -> Memory:
    """What an observation implies: the pivot is passed, or it is time to undo."""
    if world.serves(world.target):
        return memory if memory.pivot_s is not None else replace(memory, pivot_s=world.now_s)
    if memory.undo_s is not None:
        return memory
    late = world.now_s - memory.began_s > limits.before_s
    if not late and memory.failures < limits.tries and memory.quiesces <= limits.tries:
        return memory
    reason = memory.why or ("it took too long" if late else "the lease ended before each switch")
    return replace(memory, undo_s=world.now_s, why=reason, failures=0)


def learn(memory: Memory, step: Step, world: World, records: int) -> Memory:
    """A step succeeded; ``world`` is the observation it was decided on."""
    generation = world.source.gate.generation if world.source.gate else None
    learned: dict[StepName, dict[str, Any]] = {
        StepName.RETRIEVE: {"retrieved": True},
        StepName.PRE_COPY: {"precopied": True},
        StepName.UP: {"up": world.target.address},
        StepName.CATCH_UP: {"caught_up": True},
        StepName.QUIESCE: {"quiesces": memory.quiesces + 1, "copied": None, "reloaded": None},
        StepName.FINAL_COPY: {"copied": generation},
        StepName.RELOAD: {"reloaded": generation},
        StepName.MERGE: {"closed": True, "merged": memory.merged + records},
        StepName.STOP_SOURCE: {"closed": True},
    }
    return replace(memory, failures=0, **learned.get(step.name, {}))


def fail(memory: Memory, why: str) -> Memory:
    """A step failed; it is tried again."""
    return replace(memory, failures=memory.failures + 1, why=why)
