"""Loads over the power graph against the judge's independent walk."""

import numpy as np
import pytest

from wattcast_coordinator.aggregate.loads import Loads, server_loads
from wattcast_coordinator.risk.nminus import Limits, Moments, assess
from wattcast_coordinator.topology.buckets import gather
from wattcast_coordinator.topology.instance import from_arrays
from wattcast_coordinator.topology.matrices import build
from wattcast_coordinator.topology.network import of_instance


def random_placement(arrays, rng):
    placed = arrays["wl_server"].copy()
    some = rng.choice(len(placed), len(placed) // 3, replace=False)
    placed[some] = rng.integers(0, len(arrays["server_cord"]), len(some))
    return placed


@pytest.mark.parametrize("seed", range(3))
def test_loads_agree_with_the_judge_in_every_case(judge, make_room, as_instance, seed):
    arrays = make_room(servers=120, feeds=3 + seed, movable=100, seed=seed)
    rng = np.random.default_rng(seed)
    placed = random_placement(arrays, rng)
    source = np.where(arrays["node_alt"] >= 0, rng.integers(0, 2, len(arrays["node_alt"])), 0)
    loads = Loads(as_instance(arrays)).evaluate(placed, source)
    workloads = np.arange(len(placed))
    columns = [((workloads, placed, np.ones(len(placed))), source, h) for h in range(12)]
    cases = [-1, *arrays["contingency"]]
    for lost, part, quantile_w, _ in judge.sweep(dict(arrays), columns):
        np.testing.assert_allclose(loads[cases.index(lost)][:, part], quantile_w, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_the_matrices_agree_with_the_judge_in_every_case(judge, make_room, seed):
    arrays = make_room(servers=120, feeds=3 + seed, movable=100, seed=seed)
    instance = from_arrays(arrays, "room")
    network = of_instance(instance)
    matrices = build(network, [np.array([node]) for node in arrays["contingency"]])
    loads = server_loads(instance, arrays["wl_server"])
    servers = Moments(np.hstack([loads.mean_w, loads.factor_w]), loads.variance, arrays["growth"])
    free = np.full(len(network), np.inf)
    z = float(arrays["z_n1"])
    single = assess(matrices, gather(matrices.buckets, network.share), servers,
                    Limits(free, free, z, z))  # fmt: skip
    load_w, base_w = single.rows.quantile_w(z), single.base.quantile_w(z)
    workloads = np.arange(len(arrays["wl_server"]))
    here = (workloads, arrays["wl_server"], np.ones(len(workloads)))
    columns = [(here, arrays["ats_source"], h) for h in range(12)]
    cases = [-1, *arrays["contingency"]]
    for lost, part, quantile_w, _ in judge.sweep(dict(arrays), columns):
        rows = np.flatnonzero(single.matrices.case == cases.index(lost))
        nodes = single.matrices.node[rows]
        if lost < 0:
            continue
        np.testing.assert_allclose(load_w[rows][:, part], quantile_w[nodes], atol=1e-6)
        others = np.setdiff1d(np.arange(len(network)), nodes)
        assert (quantile_w[others] <= base_w[others][:, part] + 1e-6).all()


def test_servers_add_up_to_the_roots_in_every_case(make_room, as_instance):
    instance = as_instance(make_room(servers=120, feeds=4, movable=100))
    mean_w, _ = Loads(instance).moments()
    total_w = server_loads(instance, instance.wl_server).mean_w.sum(0)
    roots = instance.node_parent < 0
    np.testing.assert_allclose(mean_w[:, roots].sum(1), np.tile(total_w, (len(mean_w), 1)))


def test_with_two_feeds_no_placement_changes_the_survivors_load(make_room, as_instance):
    arrays = make_room(servers=120, feeds=2, movable=80, seed=4)
    arrays["server_eff"] = np.ones(120)
    loads = Loads(as_instance(arrays))
    rng = np.random.default_rng(0)
    source = np.where(arrays["node_alt"] >= 0, 1 - arrays["ats_source"], 0)
    before_w, _ = loads.moments()
    after_w, _ = loads.moments(random_placement(arrays, rng), source)
    lost = {int(node): 1 + j for j, node in enumerate(arrays["contingency"])}
    np.testing.assert_allclose(after_w[lost[0], 1], before_w[lost[0], 1], atol=1e-6)


def test_limits_are_continuous_intact_and_emergency_after_a_loss(make_room, as_instance):
    instance = as_instance(make_room(servers=120, feeds=3, movable=10))
    limit_w = Loads(instance).limits()
    assert limit_w.shape == (1 + len(instance.contingency), len(instance.node_parent))
    np.testing.assert_array_equal(limit_w[0], instance.limit_base_w)
    np.testing.assert_array_equal(limit_w[-1], instance.limit_n1_w)
