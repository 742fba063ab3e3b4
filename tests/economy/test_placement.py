"""Moves that pay, on rooms of the judge's making: checked again from all loads of all cases."""

from dataclasses import replace

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.economy.placement import feed_shares, worthwhile
from wattcast_tools.plan_rooms import RoomSize, make_instance


@pytest.fixture(scope="module")
def instance():
    """Three dozen servers on four feeds, with room to spare."""
    made = make_instance(
        RoomSize(36, 4, movable=108, displaced=0, tight=0.5), np.random.default_rng(1)
    )
    return replace(made, crit_cost=made.crit_cost * 0 + 1.0)


def hourly(instance, *price):
    out = np.zeros((len(instance.node_parent), 24))
    out[: len(price)] = np.array(price)[:, None]
    return out


def test_shares_of_the_feeds_add_up_to_every_server(instance):
    assert feed_shares(instance).sum(axis=1) == pytest.approx(1)


def test_the_saving_is_what_the_loads_of_the_feeds_say(instance):
    cost = hourly(instance, 0.4, 0.4, 0.1, 0.1)
    found = worthwhile(instance, cost, 3600, disruption_money=0.001)
    assert found is not None
    placed = instance.wl_server.copy()
    placed[found.workload] = found.server
    loads = Loads(instance)
    before, after = (loads.moments(at)[0][0, :4].mean(axis=1) for at in (None, placed))
    rate = (before - after) @ cost[:4, 0] / 1000  # money an hour
    assert found.saved == pytest.approx(24 * rate)
    assert found.saved > 2 * found.disruption


def test_no_other_safe_move_would_have_gained_more(instance):
    cost = hourly(instance, 0.4, 0.3, 0.2, 0.1)
    found = worthwhile(instance, cost, 3600, disruption_money=0.001)
    price = feed_shares(instance) @ cost[:, 0] * instance.server_eff
    kw = instance.wl_w.mean(axis=1) / 1000
    home = price[instance.wl_server] * kw
    most = (24 * (home - price.min() * kw))[instance.wl_movable].max()
    assert 0.8 * most <= found.saved <= most + 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"wl_movable": lambda i: np.zeros_like(i.wl_movable)},
        {"server_cpu": lambda i: np.bincount(i.wl_server, i.wl_cpu, len(i.server_cpu))},
        {"limit_base_w": lambda i: i.limit_base_w * 0, "limit_n1_w": lambda i: i.limit_n1_w * 0},
    ],
    ids=["nothing movable", "no CPU free", "every node at its limit"],
)
def test_nothing_moves_that_may_not(instance, change):
    tight = replace(instance, **{name: make(instance) for name, make in change.items()})
    assert worthwhile(tight, hourly(instance, 0.4, 0.4, 0.1, 0.1), 3600, 0.001) is None


def test_a_move_must_pay_for_its_way_back(instance):
    cost = hourly(instance, 0.4, 0.4, 0.1, 0.1)
    found = worthwhile(instance, cost, 3600, 0.001)
    just_not = found.saved / 2 / found.disruption * 0.001 * 1.5
    later = worthwhile(instance, cost, 3600, just_not)
    assert later is None or later.saved > 2 * later.disruption


def test_only_hours_until_the_price_turns_count(instance):
    cost = hourly(instance, 0.4, 0.4, 0.1, 0.1)
    cost[:4, 6:] = cost[:4, 6:][::-1]  # after six hours the dear feeds are the cheap ones
    found = worthwhile(instance, cost, 3600, 0.001)
    whole = worthwhile(instance, hourly(instance, 0.4, 0.4, 0.1, 0.1), 3600, 0.001)
    assert found.saved == pytest.approx(whole.saved / 4, rel=0.05)


def test_groups_stay_apart(instance):
    alone = np.full(len(instance.wl_anti), 7)
    apart = replace(instance, wl_anti=alone)
    assert worthwhile(apart, hourly(instance, 0.4, 0.4, 0.1, 0.1), 3600, 0.001) is None
