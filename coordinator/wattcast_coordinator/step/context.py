"""What all parts of one decision cycle look at."""

from dataclasses import dataclass
from datetime import datetime

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.topology.graph import Graph


@dataclass(frozen=True, slots=True)
class Context:
    """One cycle: the room, what came in, the settings, and the problem laid out from them."""

    graph: Graph
    inputs: Inputs
    decision: Decision
    problem: Problem

    @property
    def now(self) -> datetime:
        """Data time of the cycle."""
        return self.inputs.now
