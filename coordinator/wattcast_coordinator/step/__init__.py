"""One decision cycle: state and inputs in, state and effects out; no I/O, no clock, no chance."""

from wattcast_coordinator.step.cycle import step
from wattcast_coordinator.step.state import State, clear_lockout

__all__ = ["State", "clear_lockout", "step"]
