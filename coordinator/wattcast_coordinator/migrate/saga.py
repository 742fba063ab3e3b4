"""Decides the next step of a migration from what is observed, never from a log.

Invariants:
    - The proxy sends requests to exactly one of the two instances, except within the switch.
    - A copy is made only into nothing, or into an earlier copy of the same source.
    - The switch is ordered only when the target has loaded a copy taken while the source held all
      requests, and enough of that lease remains.
    - Before the switch only the target is touched; it is stopped and discarded only while a healthy
      source serves. After the switch the source is stopped only when a healthy target serves, and
      when the source can have no acknowledged write that the target lacks.
"""

from wattcast_coordinator.migrate.memory import Limits, Memory
from wattcast_coordinator.migrate.steps import Action, End, Step, StepName
from wattcast_coordinator.migrate.world import Gate, World
from wattcast_coordinator.ports import MoveState


def next_action(world: World, memory: Memory, limits: Limits) -> Action:
    """What to do now, or how it ended; ``memory`` has been brought up to date by ``note``."""
    if world.serves(world.target):
        return _forward(world, memory, limits)
    if not world.serves(world.source):
        return _lost(world, memory, limits)
    return _toward(world, memory, limits) if memory.undo_s is None else _back(world, memory, limits)


def _lost(world: World, memory: Memory, limits: Limits) -> Action:
    """Neither instance is known to serve: an instance, its engine or the proxy is away."""
    since_s = memory.began_s if memory.pivot_s is None else memory.pivot_s
    if world.now_s - since_s <= limits.after_s:
        return Step(StepName.OBSERVE)
    seen = "unreachable" if world.endpoints is None else dict(world.endpoints)
    return End(
        MoveState.FAILED,
        f"neither instance serves (endpoints: {seen}); nothing was stopped or removed: "
        f"bring the proxy or the instance back {_because(memory)}",
    )


def _toward(world: World, memory: Memory, limits: Limits) -> Action:
    target = world.target
    if not world.source.healthy or not target.known:
        return Step(StepName.OBSERVE)
    if not memory.precopied:
        if target.kept and not _is_a_copy(world):
            return _empty(world, memory)
        return Step(StepName.PRE_COPY)
    if not target.address:
        return Step(StepName.START)
    return _attach(world, memory, limits) if target.healthy else Step(StepName.HEALTHY)


def _is_a_copy(world: World) -> bool:
    """Whether the target came from this migration: attached, and never a source itself."""
    gate = world.target.gate
    attached = world.target.address in (world.endpoints or {})
    return attached and gate is not None and gate.generation == 0


def _empty(world: World, memory: Memory) -> Action:
    """State of unknown origin: bring home what only it has, then start from nothing."""
    target = world.target
    if not target.address:
        return Step(StepName.DISCARD_STALE if memory.retrieved else StepName.START)
    if target.address in (world.endpoints or {}):
        return Step(StepName.DETACH, target.address)
    if memory.retrieved or (target.gate is not None and target.gate.released):
        return Step(StepName.STOP_STALE)
    return Step(StepName.RETRIEVE if target.healthy else StepName.HEALTHY)


def _attach(world: World, memory: Memory, limits: Limits) -> Action:
    target = world.target
    if stale := world.others(world.source, target):
        return Step(StepName.DETACH, stale[0])
    if target.address not in (world.endpoints or {}):
        return Step(StepName.ATTACH)
    if memory.up != target.address:
        return Step(StepName.UP)
    gate = world.source.gate
    return _cut_over(gate, memory, limits) if gate is not None else Step(StepName.OBSERVE)


def _cut_over(gate: Gate, memory: Memory, limits: Limits) -> Action:
    if gate.released:
        return End(
            MoveState.FAILED,
            "the source sends its requests away although the proxy still chooses it; "
            "remedy: restart the source's instance",
        )
    if not gate.quiesced and not memory.caught_up:
        return Step(StepName.CATCH_UP)
    if not gate.quiesced or gate.lease_remaining_s < limits.margin_s:
        return Step(StepName.QUIESCE)
    if memory.copied != gate.generation:
        return Step(StepName.FINAL_COPY)
    if memory.reloaded != gate.generation:
        return Step(StepName.RELOAD)
    return Step(StepName.SWITCH)


def _forward(world: World, memory: Memory, limits: Limits) -> Action:
    late = memory.pivot_s is not None and world.now_s - memory.pivot_s > limits.after_s
    if late:
        return End(
            MoveState.FAILED,
            f"switched, but not finished; the source keeps its state {_because(memory)}",
        )
    if not world.target.healthy or not world.source.known:
        return Step(StepName.OBSERVE)
    if world.serves(world.source):
        return Step(StepName.SWITCH)
    if world.source.address:
        return _close(world, memory, limits)
    return _clear(world, memory)


def _close(world: World, memory: Memory, limits: Limits) -> Action:
    """The source runs without new traffic: make sure it holds nothing the target lacks."""
    gate = world.source.gate
    if memory.closed:
        return Step(StepName.STOP_SOURCE)
    if gate is None:
        return Step(StepName.OBSERVE)
    if gate.quiesced:
        return Step(StepName.RELEASE)
    waited_s = world.now_s - (memory.pivot_s if memory.pivot_s is not None else world.now_s)
    if world.active and not (gate.released and waited_s > limits.drain_s):
        return Step(StepName.DRAIN)
    return Step(StepName.STOP_SOURCE if gate.released else StepName.MERGE)


def _clear(world: World, memory: Memory) -> Action:
    if world.source.kept and not memory.closed:
        # It stopped unseen: whether it took writes after the final copy only it can tell.
        return Step(StepName.REVIVE)
    if stale := world.others(world.target):
        return Step(StepName.DETACH, stale[0])
    if world.source.kept:
        return Step(StepName.DISCARD_SOURCE)
    if memory.merged:
        return End(MoveState.DONE, f"done; the lease had lapsed, {memory.merged} records merged")
    return End(MoveState.DONE, "done")


def _back(world: World, memory: Memory, limits: Limits) -> Action:
    if memory.undo_s is not None and world.now_s - memory.undo_s > limits.undo_s:
        return End(MoveState.FAILED, f"could not be undone; the source serves {_because(memory)}")
    if stale := world.others(world.source):
        return Step(StepName.DETACH, stale[0])
    if not world.target.known or not world.source.healthy:
        return Step(StepName.OBSERVE)
    if world.target.address:
        return Step(StepName.STOP_TARGET)
    if world.source.gate is None or world.source.gate.quiesced:
        return Step(StepName.LEASE)
    return Step(StepName.DISCARD_TARGET) if world.target.kept else _undone(memory)


def _undone(memory: Memory) -> End:
    return End(MoveState.UNDONE, f"undone {_because(memory)}")


def _because(memory: Memory) -> str:
    return f"({memory.why})" if memory.why else "(no failure was reported)"
