"""Single losses and pairs of losses against the naive walk."""

from itertools import combinations

import numpy as np
import pytest
import walk
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_coordinator.risk.nminus import Limits, Moments, assess
from wattcast_coordinator.risk.pairs import judge
from wattcast_coordinator.topology.buckets import gather
from wattcast_coordinator.topology.matrices import build
from wattcast_coordinator.topology.second import compile_second

seeds = st.integers(0, 2**32 - 1)
Z = 1.2816
GROWTH = np.array([0.5, 0.8, 1.0])


def random_case(rng, *, tangled=True):
    network = walk.random_network(rng, servers=8, tangled=tangled)
    mean_w, factor_w, variance = walk.random_loads(rng, len(network.cord), steps=3)
    return network, Moments(np.hstack([mean_w, factor_w]), variance, GROWTH)


def walked_w(network, servers, dead):
    """[N] largest quantile load."""
    steps = len(GROWTH)
    moments = walk.loads(network, dead, servers.mean_w, servers.values[:, steps:], servers.variance)
    mean_w, factor_w, variance = moments
    return Moments(np.hstack([mean_w, factor_w]), variance, GROWTH).quantile_w(Z).max(1)


def limits_for(network, servers, lost, rng):
    """Most losses alone are borne; some nodes are over already."""
    worst_w = np.max([walked_w(network, servers, set(nodes.tolist())) for nodes in lost], axis=0)
    n1_w = np.maximum(worst_w, 50.0) * rng.uniform(0.9, 1.3, len(network))
    return Limits(n1_w, n1_w, 2.0, Z)


@settings(max_examples=20, deadline=None)
@given(seeds, st.booleans())
def test_pairs_of_losses_agree_with_the_naive_walk(seed, tangled):
    rng = np.random.default_rng(seed)
    network, servers = random_case(rng, tangled=tangled)
    some = rng.choice(len(network), 14, replace=False)
    lost = [np.array([node]) for node in some] + [rng.choice(len(network), 2, replace=False)]
    limits = limits_for(network, servers, lost, rng)
    matrices = build(network, lost)
    second, gathered = compile_second(matrices), gather(matrices.buckets, network.share)
    single = assess(matrices, gathered, servers, limits, every=True)
    found = judge(single, second, gathered, servers)
    load_w = {
        (int(a), int(b), int(n)): w
        for a, b, n, w in zip(
            found.first, found.second, found.node, found.load_w.max(1), strict=True
        )
    }
    assert len(load_w) == len(found.node), "a finding twice"
    alone = [walked_w(network, servers, set(n.tolist())) > limits.n1_w for n in lost]
    before = walked_w(network, servers, set()) > limits.n1_w
    for i, j in combinations(range(len(lost)), 2):
        dead = {*lost[i].tolist(), *lost[j].tolist()}
        true_w = walked_w(network, servers, dead)
        gone = ~np.array([walk.is_live(network, dead, n) for n in range(len(network))])
        over = (true_w > limits.n1_w) & ~alone[i] & ~alone[j] & ~before & ~gone
        a, b = sorted((int(second.same_as[i]), int(second.same_as[j])))
        here = {n for f, s, n in load_w if (f, s) == (a, b) and not gone[n]}
        assert here == set(np.flatnonzero(over).tolist()), (i, j)
        for node in here:
            assert load_w[a, b, node] == pytest.approx(true_w[node], abs=1e-6)
    assert found.checked == len(lost) * (len(lost) - 1) // 2


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_the_n1_margin_is_that_of_the_worst_loss(seed):
    rng = np.random.default_rng(seed)
    network, servers = random_case(rng)
    lost = [np.array([node]) for node in range(len(network))]
    limits = limits_for(network, servers, lost, rng)
    matrices = build(network, lost)
    gathered = gather(matrices.buckets, network.share)
    worst_w = np.max([walked_w(network, servers, {n}) for n in range(len(network))], axis=0)
    worst_w = np.maximum(worst_w, walked_w(network, servers, set()))
    for prune in (False, True):
        margin_w = assess(matrices, gathered, servers, limits, prune=prune).margin_w()
        np.testing.assert_allclose(margin_w, limits.n1_w - worst_w, atol=1e-6)


def test_probability_is_that_of_a_normal_curve():
    loads = Moments(np.array([[100.0, 3.0, 4.0]]), np.zeros(1), np.ones(1))
    assert loads.sigma_w() == pytest.approx(5.0)
    assert loads.p_over(np.array([100.0])) == pytest.approx(0.5)
    assert loads.p_over(np.array([105.0])) == pytest.approx(0.158655, abs=1e-6)
    assert loads.quantile_w(2.0) == pytest.approx(110.0)


def test_with_negative_loadings_nothing_is_pruned():
    network = walk.random_network(np.random.default_rng(3), tangled=False)
    lost = [np.array([node]) for node in range(len(network))]
    matrices = build(network, lost)
    gathered = gather(matrices.buckets, network.share)
    infinite = np.full(len(network), np.inf)
    limits = Limits(infinite, infinite, 2.0, Z)
    values = np.hstack([np.full((10, 3), 100.0), np.full((10, 1), 5.0)])
    rows = []
    for sign in (1.0, -1.0):
        values[0, 3] = sign
        servers = Moments(values.copy(), np.ones(10), GROWTH)
        rows.append(len(assess(matrices, gathered, servers, limits, prune=True).rows.variance))
    assert rows[0] < rows[1] == matrices.adds.sum()
