"""What all parts of one decision cycle look at."""

from dataclasses import dataclass
from datetime import datetime

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import Problem
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.risk.judgement import Judgement
from wattcast_coordinator.topology.graph import Graph


@dataclass(frozen=True, slots=True)
class Context:
    """One cycle: the room, what came in, the settings, the problem laid out, and its risks."""

    graph: Graph
    inputs: Inputs
    decision: Decision
    problem: Problem
    judged: Judgement

    @property
    def now(self) -> datetime:
        """Data time of the cycle."""
        return self.inputs.now
