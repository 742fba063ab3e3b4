"""The room's physics: conservation, shifts, switches, trips."""

import math

import numpy as np
import pytest

from wattcast_tools.room.metering import Health, Metering
from wattcast_tools.room.trips import UPS


def settle(world):
    """Loads of the present wiring, without waiting for the next tick."""
    world.loads = world._loads()


def cords_w(world):
    return world.loads.server_w[:, None] * world.routes.share[0]


@pytest.mark.parametrize("lost", ["", "A", "B"])
@pytest.mark.parametrize("transferred", [False, True])
def test_cords_sum_to_servers_and_servers_to_feeds(world, lost, transferred):
    if transferred:
        world.prefer("ats-r1", 1, 0.0)
    if lost:
        world.set_feed(lost, up=False)
    world.advance(300.0)
    cords = cords_w(world)
    assert np.allclose(cords.sum(axis=1), world.loads.server_w)
    assert np.allclose(cords.sum(axis=0), world.loads.pdu_w)
    assert world.loads.feed_w.sum() == pytest.approx(world.loads.server_w.sum())


def test_a_lost_feed_throws_its_load_on_the_others_as_foretold(world):
    foretold_w, total_w = world.after_loss()[0][0], world.loads.server_w.sum()
    world.set_feed("A", up=False)
    settle(world)
    assert world.loads.feed_w[0] == 0
    assert np.allclose(world.loads.feed_w, foretold_w)
    assert world.loads.feed_w.sum() == pytest.approx(total_w)
    assert world.active[0] == 1
    assert not world.truth.dark


def test_who_has_lost_both_sources_is_dark_and_draws_nothing(world):
    world.set_feed("A", up=False)
    world.set_feed("B", up=False)
    settle(world)
    assert {name[:2] for name in world.truth.dark} == {"r1"}
    assert len(world.truth.dark) == 13
    assert world.loads.server_w[~world.powered].sum() == 0
    assert world.runs[:, ~world.powered].sum() == 0


def test_an_instance_on_both_servers_draws_power_on_both(world):
    before_w = world.loads.server_w.sum()
    world.start("shop-r1-1", "r2-s05")
    settle(world)
    both_w = world.loads.server_w.sum()
    world.stop("shop-r1-1", "r1-s01")
    settle(world)
    assert both_w > before_w + 20
    assert world.loads.server_w.sum() < both_w - 20
    assert len(world.truth.moves) == 1


def test_an_undone_migration_is_no_move(world):
    world.start("shop-r1-1", "r2-s05")
    world.stop("shop-r1-1", "r2-s05")
    assert not world.truth.moves


def test_a_preferred_source_takes_effect_after_the_switchs_own_delay(world):
    world.prefer("ats-r1", 1, 20.0)
    world.advance(15.0)
    assert world.active[0] == 0
    world.advance(25.0)
    assert world.active[0] == 1
    assert len(world.truth.transfers) == 1


def test_a_switch_goes_back_to_its_preferred_source_when_that_is_back(world):
    world.set_feed("A", up=False)
    assert world.active[0] == 1
    world.set_feed("A", up=True)
    world.advance(25.0)
    assert world.active[0] == 1  # watched for 30 s first
    world.advance(40.0)
    assert world.active[0] == 0
    assert not world.truth.transfers


@pytest.mark.parametrize(("fault", "after_s", "expected"), [("stuck", 60, 0), ("returns", 90, 0)])
def test_a_faulty_switch_does_not_stay_where_it_was_sent(world, fault, after_s, expected):
    world.switch_fault = fault
    world.prefer("ats-r1", 1, 5.0)
    world.advance(10.0)
    assert world.active[0] == (fault == "returns")
    world.advance(after_s)
    assert world.active[0] == expected
    assert world.preferred[0] == 1


@pytest.mark.parametrize(("load", "seconds"), [(1.04, math.inf), (1.07, 600), (1.2, 60), (1.4, 3)])
def test_a_ups_carries_an_overload_as_long_as_its_maker_says(load, seconds):
    assert UPS.trip_s(load) == seconds


def test_an_overload_in_two_parts_trips_as_one_and_cools_in_between():
    heat = UPS.heat(1.07, 400.0)
    assert heat + UPS.heat(1.07, 200.0) == pytest.approx(1.0)
    assert heat + UPS.heat(0.9, 300.0) + UPS.heat(1.07, 200.0) < 1.0


def test_meters_are_close_to_the_truth_quantised_and_sometimes_out(world):
    meters = Metering(world)
    bad = shown = 0
    for step in range(1, 400):
        world.advance(75.0 * step)
        meters.sample()
        good = meters.health == Health.GOOD
        index = meters.index.inlets["pdu-r3-a"]
        if good[index]:
            true_w = world.loads.pdu_w[4]
            assert meters.power_w[index] == pytest.approx(true_w, rel=0.006)
        assert np.allclose(meters.power_w * 10, np.round(meters.power_w * 10))
        bad += int((meters.health >= Health.NAN).sum())
        shown += len(good)
    assert 0.002 < bad / shown < 0.009
    assert np.isnan(meters.readings_w()).sum() == (meters.health >= Health.NAN).sum()


def test_a_dead_feed_reads_zero_volt_and_zero_watt(world):
    world.set_feed("A", up=False)
    world.advance(10.0)
    meters = Metering(world)
    inlet = meters.index.inlets["pdu-r1-a"]
    assert meters.voltage_v[inlet] == 0
    assert meters.voltage_v[meters.index.sources["ats-r1", 0]] == 0
    assert meters.voltage_v[meters.index.inlets["pdu-r1-b"]] > 220
    meters.health[:] = Health.GOOD
    assert meters.power_w[inlet] == 0
