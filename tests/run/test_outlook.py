"""What people see of each feed's future."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "step"))
import decision_room as room

from wattcast_configs.control import Decision
from wattcast_coordinator.run.feeds import FeedForecasts
from wattcast_coordinator.run.outlook import fans
from wattcast_coordinator.step import State


def seen(site, state=None):
    simulated = room.Room(site, spread_w=6.0)
    feeds = FeedForecasts(simulated.graph, None)
    return fans(state or State(), simulated.inputs(), simulated.graph, Decision(), feeds)


def test_a_secure_feed_tells_how_surely_it_is_secure():
    roomy = {feed: worst for feed, (_, worst) in seen(room.site(limit_n1_w=1500.0)).items()}
    tight = {feed: worst for feed, (_, worst) in seen(room.site(limit_n1_w=1430.0)).items()}
    for feed, worst in roomy.items():
        assert worst.contingency in {"A", "B", "C"} - {feed}
        assert worst.load_w + worst.margin_w == pytest.approx(1500.0)
        assert 0.0 <= worst.p_over < tight[feed].p_over <= 1.0


def test_fans_widen_and_rise_with_their_quantiles():
    for fan, _ in seen(room.site()).values():
        assert fan.q10[-1] < fan.q50[-1] < fan.q90[-1] < fan.q99[-1]
        assert fan.q99[-1] - fan.q50[-1] > fan.q99[0] - fan.q50[0]


def test_after_a_loss_nothing_is_said_about_the_next():
    lost = replace(State(), lost=("A",))
    assert all(worst is None for _, worst in seen(room.site(), lost).values())
