"""A day of the simulated room, at its story's start."""

import pytest

from wattcast_tools.room.model import World
from wattcast_tools.room.scenario import build
from wattcast_tools.room.traces import load_platforms, load_traces


@pytest.fixture
def scenario():
    return build(1, load_platforms())


@pytest.fixture
def world(scenario):
    world = World(scenario, load_traces())
    world.advance(0.0)
    return world
