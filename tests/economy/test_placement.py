"""Moves that pay, on rooms of the judge's making: checked again from all loads of all cases."""

from dataclasses import replace

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.economy.placement import feed_shares, worthwhile
from wattcast_tools.plan_rooms import RoomSize, make_instance

SEEDS = range(1, 6)


def room(seed):
    """Four racks on a pair of four feeds each; room to spare."""
    size = RoomSize(160, 4, movable=480, displaced=0, tight=0.5)
    made = make_instance(size, np.random.default_rng(seed))
    return replace(made, crit_cost=made.crit_cost * 0 + 1.0)


def alike(seed):
    """The same with equally efficient servers, so that only the feeds' prices differ."""
    made = room(seed)
    wide = {name: 1.2 * getattr(made, name) for name in ("limit_base_w", "limit_n1_w")}
    return replace(made, server_eff=np.ones(160), **wide)


@pytest.fixture(scope="module")
def instance():
    return room(1)


def hourly(instance, *price):
    out = np.zeros((len(instance.node_parent), 24))
    out[: len(price)] = np.array(price)[:, None]
    return out


def test_shares_of_the_feeds_add_up_to_every_server(instance):
    assert feed_shares(instance).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_saving_is_what_the_loads_of_the_feeds_say(seed):
    instance = room(seed)
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


@pytest.mark.parametrize("seed", SEEDS)
def test_every_move_that_would_gain_more_may_not_be_made(seed):
    instance = full(room(seed), feed=3)
    cost = hourly(instance, 0.4, 0.3, 0.2, 0.1)
    found = worthwhile(instance, cost, 3600, disruption_money=0.001)
    price = feed_shares(instance) @ cost[:, 0] * instance.server_eff
    here = price[instance.wl_server]
    saved = 24 / 1000 * instance.wl_w.mean(axis=1)[:, None] * (here[:, None] - price)
    gain = saved - 2 * 0.001 * (1 + instance.wl_state_gib / 64)[:, None]
    more = np.argwhere(gain > found.saved - 2 * found.disruption + 1e-12)
    assert len(more) > 10  # else the room shows nothing
    for workload, server in np.random.default_rng(seed).permutation(more)[:50].tolist():
        assert not_allowed(instance, workload, server) or over(instance, workload, server)


def full(instance, feed):
    """The same with no room left on a feed, intact or after the worst loss."""
    highest_w = Loads(instance).evaluate()[:, feed].max(axis=1)
    limits = {"limit_base_w": highest_w[0], "limit_n1_w": highest_w[1:].max()}
    changed = {name: getattr(instance, name).copy() for name in limits}
    for name, limit_w in limits.items():
        changed[name][feed] = limit_w
    return replace(instance, **changed)


def not_allowed(instance, workload, server):
    """Pinned, no CPU or memory there, or another member of a group."""
    others = np.arange(len(instance.wl_server)) != workload
    there = others & (instance.wl_server == server)
    rack = instance.server_rack[instance.wl_server] == instance.server_rack[server]

    def meets(group, place):
        return bool((others & place & (group == group[workload]) & (group >= 0)).any())

    return (
        not instance.wl_movable[workload]
        or instance.wl_cpu[there].sum() + instance.wl_cpu[workload] > instance.server_cpu[server]
        or instance.wl_mem[there].sum() + instance.wl_mem[workload] > instance.server_mem[server]
        or meets(instance.wl_anti, there)
        or meets(instance.wl_quorum, rack)
    )


def over(instance, workload, server):
    """Whether a node is over its limit, and higher than it was, during or after the move."""
    loads = Loads(instance)
    now_w, most_w = loads.evaluate(), loads.limits()[..., None]
    placed = instance.wl_server.copy()
    placed[workload] = server
    after_w = loads.evaluate(placed)
    # Both run while it moves: what the move adds at its destination comes on top of what is there.
    mean_w, alone_w = (loads.moments(at)[0] for at in (None, placed))
    added_w = np.maximum(alone_w - mean_w, 0.0)
    during_w = now_w + added_w
    return any((load_w > np.maximum(most_w, now_w) + 1e-3).any() for load_w in (during_w, after_w))


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


@pytest.mark.parametrize("seed", SEEDS)
def test_a_move_must_pay_for_its_way_back(seed):
    instance = room(seed)
    cost = hourly(instance, 0.4, 0.4, 0.1, 0.1)
    found = worthwhile(instance, cost, 3600, 0.001)
    just_not = found.saved / 2 / found.disruption * 0.001 * 1.5
    later = worthwhile(instance, cost, 3600, just_not)
    assert later is None or later.saved > 2 * later.disruption


def turning(instance, hours):
    """Two feeds dear, two cheap; after some hours the other way round."""
    cost = hourly(instance, 0.4, 0.4, 0.1, 0.1)
    cost[:4, hours:] = cost[3::-1, hours:].copy()
    return cost


@pytest.mark.parametrize("seed", SEEDS)
def test_only_hours_until_the_price_turns_count(seed):
    like = alike(seed)
    found = worthwhile(like, turning(like, 6), 3600, 0.001)
    whole = worthwhile(like, hourly(like, 0.4, 0.4, 0.1, 0.1), 3600, 0.001)
    assert found.saved == pytest.approx(whole.saved / 4, rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_move_that_pays_only_later_waits(seed):
    """To feeds that are dear now and cheap in an hour, for the rest of the day."""
    like = alike(seed)
    found = worthwhile(like, turning(like, 1), 3600, 1e-6)
    home = like.wl_server[found.workload]
    here, there = feed_shares(like)[[home, found.server]] @ turning(like, 1)[:, 0]
    assert here > there


def test_groups_stay_apart(instance):
    alone = np.full(len(instance.wl_anti), 7)
    apart = replace(instance, wl_anti=alone)
    assert worthwhile(apart, hourly(instance, 0.4, 0.4, 0.1, 0.1), 3600, 0.001) is None
