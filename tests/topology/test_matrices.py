"""The compiled matrices against the naive walk, and what must hold in every contingency."""

from dataclasses import replace

import numpy as np
import pytest
import walk
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_coordinator.topology.buckets import gather
from wattcast_coordinator.topology.matrices import build, sums
from wattcast_coordinator.topology.network import Network

seeds = st.integers(0, 2**32 - 1)


def every_single_loss(network):
    return [np.array([node]) for node in range(len(network))]


def evaluated(network, lost, loads, out=None):
    """(matrices, base and rows as [.., H + R] and variances)."""
    matrices = build(network, lost, out).adding
    mean_w, factor_w, variance = loads
    gathered = gather(matrices.buckets, network.share)
    return matrices, sums(matrices, gathered, np.hstack([mean_w, factor_w]), variance)


def walked(network, dead, loads):
    mean_w, factor_w, variance = walk.loads(network, dead, *loads)
    return np.hstack([mean_w, factor_w]), variance


@settings(max_examples=25, deadline=None)
@given(seeds, st.booleans(), st.booleans())
def test_matrices_and_the_naive_walk_agree(seed, many, tangled):
    rng = np.random.default_rng(seed)
    network = walk.random_network(rng, many=many, tangled=tangled)
    loads = walk.random_loads(rng, len(network.cord))
    lost = every_single_loss(network)
    lost += [rng.choice(len(network), 3, replace=False) for _ in range(5)]
    out = rng.choice(len(network), int(rng.integers(0, 3)), replace=False)
    matrices, (base, base_v, rows, rows_v) = evaluated(network, lost, loads, out)
    known, known_v = walked(network, set(out.tolist()), loads)
    live = matrices.feeding.live[:, 0]
    np.testing.assert_allclose(base[live], known[live], atol=1e-6)
    np.testing.assert_allclose(base_v[live], known_v[live], atol=1e-6)
    for case, nodes in enumerate(lost, 1):
        here = matrices.case == case
        full, full_v = known.copy(), known_v.copy()
        full[matrices.node[here]], full_v[matrices.node[here]] = rows[here], rows_v[here]
        true, true_v = walked(network, {*out.tolist(), *nodes.tolist()}, loads)
        gains = np.zeros(len(network), bool)
        gains[matrices.node[here]] = True
        np.testing.assert_allclose(full[gains], true[gains], atol=1e-6)
        np.testing.assert_allclose(full_v[gains], true_v[gains], atol=1e-6)
        assert (true[~gains] <= known[~gains] + 1e-6).all(), "a row was left out that gains"
        assert (true_v[~gains] <= known_v[~gains] + 1e-6).all()


def quantile_w(values, variance, steps, z):
    return values[:, :steps] + z * np.sqrt((values[:, steps:] ** 2).sum(1) + variance)[:, None]


@settings(max_examples=25, deadline=None)
@given(seeds, st.booleans(), st.booleans())
def test_pruning_by_dominance_leaves_the_worst_load_of_every_node(seed, many, tangled):
    rng = np.random.default_rng(seed)
    network = walk.random_network(rng, many=many, tangled=tangled)
    loads = walk.random_loads(rng, len(network.cord))
    matrices, (base, base_v, rows, rows_v) = evaluated(network, every_single_loss(network), loads)
    steps = loads[0].shape[1]
    intact_w = quantile_w(base, base_v, steps, 1.28)
    load_w = quantile_w(rows, rows_v, steps, 1.28)
    worst_w, pruned_w = intact_w.copy(), intact_w.copy()
    np.maximum.at(worst_w, matrices.node, load_w)
    kept = matrices.kept
    np.maximum.at(pruned_w, matrices.node[kept], load_w[kept])
    np.testing.assert_allclose(pruned_w, worst_w, atol=1e-6)


def two_feeds(cord, share=None, needed=None, alt=()):
    """Feeds 0 and 1; panels 2, 3; rack PDUs 4, 5 on 2 and 6, 7 on 3; further switches."""
    parent = np.array([-1, -1, 0, 1, 2, 2, 3, 3, *(a for a, _ in alt)])
    other = np.array([-1] * 8 + [b for _, b in alt])
    cord = np.array(cord)
    share = np.array(share) if share is not None else (cord >= 0) / (cord >= 0).sum(1)[:, None]
    needed = np.ones(len(cord), np.int64) if needed is None else np.array(needed)
    return Network(parent, other, np.zeros(len(parent), np.int64), cord, share, needed)


def kept_losses(network, node):
    """Single losses kept for a node."""
    matrices = build(network, every_single_loss(network)).adding
    rows = (matrices.node == node) & matrices.kept
    return {int(c) - 1 for c in matrices.case[rows]}


def test_the_loss_of_a_feed_stands_for_all_losses_below_it():
    assert kept_losses(two_feeds([[4, 6], [5, 7]]), 6) == {0}


def test_exception_both_cords_on_one_feed_keep_their_own_losses():
    assert kept_losses(two_feeds([[4, 5], [4, 6]]), 5) == {4}, "losing feed 0 kills both cords"


def test_exception_a_switch_that_stays_live_when_the_feed_goes():
    network = two_feeds([[8, 7], [4, 6]], alt=[(4, 6)])  # 8: ATS on 4, else 6
    matrices = build(network, every_single_loss(network)).adding
    seven = (matrices.node == 7) & matrices.kept
    assert {int(c) - 1 for c in matrices.case[seven]} == {8}, "only the switch itself moves it"


def test_exception_a_server_that_needs_both_cords_goes_dark_instead():
    network = two_feeds([[4, 6], [4, 6]], needed=[2, 1])
    _, (_, _, rows, _) = evaluated(
        network, [np.array([0])], (np.ones((2, 1)), np.zeros((2, 1)), np.ones(2))
    )
    assert rows[:, 0].max() == pytest.approx(1.0 + 0.0), "only the second is taken over"


def test_exception_three_cords_share_what_two_losses_leave():
    network = two_feeds([[4, 5, 6]], share=[[0.2, 0.3, 0.5]])
    lost = [np.array([4]), np.array([4, 5])]
    matrices, (_, _, rows, _) = evaluated(
        network, lost, (np.full((1, 1), 100.0), np.zeros((1, 1)), np.ones(1))
    )
    at = {
        (int(c), int(n)): w
        for c, n, w in zip(matrices.case, matrices.node, rows[:, 0], strict=True)
    }
    assert at[1, 6] == pytest.approx(62.5)
    assert at[2, 6] == pytest.approx(100.0)


def test_exception_negative_loadings_make_dominance_unsound():
    # A hedge: what the feed's loss adds lowers the deviation, what the panel's loss adds does not.
    network = two_feeds([[4, 6], [5, 6]])
    factor_w = np.array([[50.0], [-50.0]])
    loads = (np.full((2, 1), 10.0), factor_w, np.zeros(2))
    matrices, (_, _, rows, rows_v) = evaluated(network, every_single_loss(network), loads)
    load_w = quantile_w(rows, rows_v, 1, 2.0)[:, 0]
    at = matrices.node == 6
    assert load_w[at & ~matrices.kept].max() > load_w[at & matrices.kept].max()


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_servers_add_up_to_the_roots_in_every_contingency(seed):
    rng = np.random.default_rng(seed)
    network = walk.random_network(rng)
    mean_w, factor_w, variance = walk.random_loads(rng, len(network.cord))
    losses = every_single_loss(network)
    lost = [losses[i] for i in rng.choice(len(losses), 6, replace=False)]
    matrices = build(network, lost)
    roots = np.flatnonzero(network.parent < 0)
    for case, nodes in enumerate([np.zeros(0, np.int64), *lost]):
        again, (base, *_) = evaluated(network, [], (mean_w, factor_w, variance), nodes)
        dark = matrices.dark_servers(case)
        lit_w = np.delete(mean_w, dark, axis=0).sum(0)
        live = roots[again.feeding.live[roots, 0]]
        np.testing.assert_allclose(base[live, :4].sum(0), lit_w, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_losing_nothing_changes_nothing(seed):
    network = walk.random_network(np.random.default_rng(seed))
    matrices = build(network, [np.zeros(0, np.int64)])
    assert not len(matrices.case)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_permuting_servers_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    network = walk.random_network(rng)
    loads = walk.random_loads(rng, len(network.cord))
    order = rng.permutation(len(network.cord))
    shuffled = replace(
        network,
        cord=network.cord[order],
        share=network.share[order],
        needed=network.needed[order],
    )
    lost = every_single_loss(network)
    _, before = evaluated(network, lost, loads)
    _, after = evaluated(shuffled, lost, tuple(part[order] for part in loads))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_with_two_feeds_moves_and_transfers_leave_the_survivors_load(seed):
    """Equal efficiency: what runs where, and where the switches stand, does not matter."""
    rng = np.random.default_rng(seed)
    cords = [[4, 6], [5, 7], [4, 7], [8, -1], [9, -1]]
    network = two_feeds(cords, share=[[0.4, 0.6], [1, 0], [0.7, 0.3], [1, 0], [1, 0]],
                        alt=[(4, 6), (5, 7)])  # fmt: skip
    watts = rng.uniform(10, 100, 12)
    survivors = []
    for _ in range(5):  # after each move and transfer of a random sequence
        placed = rng.integers(0, 5, 12)
        mean_w = np.bincount(placed, watts, 5)[:, None] + 80.0
        moved = replace(network, source=np.where(network.alt >= 0, rng.integers(0, 2, 10), 0))
        loads = (mean_w, np.zeros((5, 1)), np.zeros(5))
        matrices, (_, _, rows, _) = evaluated(moved, [np.array([0])], loads)
        survivors.append(rows[matrices.node == 1, 0].item())
    np.testing.assert_allclose(survivors, 5 * 80.0 + watts.sum(), atol=1e-6)
