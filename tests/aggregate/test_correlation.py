import numpy as np
import pytest

from wattcast_coordinator.aggregate.correlation import PRIOR, estimate

NAMES = [f"s{i}" for i in range(8)]
GROUP = np.repeat([0, 1], 4)


def walk(noise):
    return {n: tuple(500 + np.cumsum(row)) for n, row in zip(NAMES, noise, strict=True)}


def test_little_history_gives_the_stated_assumption():
    found = estimate(NAMES, GROUP, 2, dict.fromkeys(NAMES, (1.0, 2.0, 3.0)))
    assert (found.common, found.steps) == (PRIOR, 0)
    assert not found.application.any()


def test_applications_that_move_together_load_their_own_factor():
    rng = np.random.default_rng(1)
    own = rng.normal(size=(8, 200)) + 2 * rng.normal(size=(2, 200))[GROUP]
    found = estimate(NAMES, GROUP, 2, walk(own))
    assert found.steps == 199
    assert found.common < 0.2
    assert (found.application > 0.5).all()


def test_independent_servers_are_near_independent_and_a_jump_changes_little():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(8, 200))
    noise[:, 100] += 80.0  # a migration wave, no noise
    found = estimate(NAMES, GROUP, 2, walk(noise))
    assert found.common + found.application.max() < 0.2


def test_gaps_and_flat_meters_do_no_harm():
    rng = np.random.default_rng(3)
    power = walk(rng.normal(size=(8, 60)))
    power["s0"] = (500.0,) * 60
    power["s1"] = (float("nan"),) * 30 + power["s1"][30:]
    found = estimate(NAMES, GROUP, 2, power)
    assert 0 <= found.common <= 0.95
    assert found.steps == pytest.approx(29, abs=1)
