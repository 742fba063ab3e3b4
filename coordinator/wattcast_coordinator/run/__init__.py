"""The composition root: the only place of the coordinator that reads clocks and starts things."""

from wattcast_coordinator.run.serve import serve

__all__ = ["serve"]
