"""Composition root of the agent: the only place that reads clocks and wires the parts."""

from wattcast_agent.run.agent import Agent
from wattcast_agent.run.serve import serve
from wattcast_agent.run.technician import commission, hold

__all__ = ["Agent", "commission", "hold", "serve"]
