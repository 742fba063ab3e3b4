"""The cheapest set of moves and ATS transfers after which no node is at risk, in a safe order."""

from wattcast_coordinator.plan.explanation import Explanation, explain
from wattcast_coordinator.plan.solution import Solution
from wattcast_coordinator.plan.solve import never, solve

__all__ = ["Explanation", "Solution", "explain", "never", "solve"]
