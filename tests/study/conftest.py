"""Recordings of the step tests' small room, with a week behind them."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "step"))
import decision_room as room

from wattcast_coordinator.study.days import hour_floor
from wattcast_coordinator.study.recording import Past, Recording

HOURS = 7 * 24


def night(hour):
    return 0.6 if hour % 24 < 6 else 1.0


@pytest.fixture(scope="session")
def record():
    """A room after three cycles; nights draw less than days in its past week."""

    def make(shape=night, watts=lambda *_: 60.0, **site):
        simulated = room.Room(room.site(**site), watts=watts)
        state, _ = simulated.run(3)
        inputs = simulated.inputs()
        begin = hour_floor(inputs.now) - timedelta(hours=HOURS)
        mean = {
            s.id: tuple(simulated.power_w(s.id, 0) * shape(h) for h in range(HOURS))
            for s in simulated.site.server
        }
        peak = {name: tuple(1.02 * w for w in series) for name, series in mean.items()}
        past = Past(begin, mean, peak)
        return Recording(simulated.site, simulated.decision, state, inputs, past)

    return make
