"""The cheapest set of moves and ATS transfers after which no node is at risk, in a safe order."""

from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.solve import never, solve

__all__ = ["Solution", "never", "solve"]
