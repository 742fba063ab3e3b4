"""What follows from a loss, followed until nothing trips any more."""

import numpy as np
import pytest

from wattcast_coordinator.risk.cascade import Protection, Situation, Trip, follow
from wattcast_coordinator.risk.nminus import Moments
from wattcast_coordinator.risk.trip import TripCurve
from wattcast_coordinator.topology.buckets import gather, group
from wattcast_coordinator.topology.network import Network

UPS = TripCurve("table", "bypass", (1.05, 1.5), (600.0, 3.0))
ON_BYPASS = TripCurve("table", "off", (1.10, 1.5), (120.0, 10.0))
BREAKER = TripCurve("table", "open", (1.13,), (400.0,))
NOTHING = np.zeros(0, np.int64)


def ring(feeds=3, watts=100.0):
    """One server between each two neighbouring feeds, half on each."""
    none = np.full(feeds, -1)
    cord = np.stack([np.arange(feeds), (np.arange(feeds) + 1) % feeds], axis=1)
    share = np.full((feeds, 2), 0.5)
    network = Network(none, none, none * 0, cord, share, np.ones(feeds, np.int64))
    servers = Moments(np.full((feeds, 12), watts), np.zeros(feeds), np.ones(12))
    return network, servers


def situation(network, servers, protections):
    gathered = gather(group(network), network.share)
    return Situation(network, NOTHING, gathered, servers, 1.28, 300.0, tuple(protections))


def test_without_an_overload_only_the_loss_itself_counts():
    network, servers = ring()
    protections = [Protection(n, 1000.0, UPS) for n in range(3)]
    (end,) = follow(situation(network, servers, protections), [np.array([0])])
    assert end.trips == ()
    assert not len(end.dark), "every server has a second feed"


def test_a_trip_takes_the_next_feed_with_it_and_all_goes_dark():
    network, servers = ring()  # 100 W a feed; 150 W after a loss, 300 W after two
    breakers = [Protection(n, 120.0, BREAKER) for n in range(3)]
    (end,) = follow(situation(network, servers, breakers), [np.array([0])])
    assert end.trips == (Trip(400.0, 1, "open"), Trip(400.0, 2, "open"))
    assert end.dark.tolist() == [0, 1, 2]
    assert end.stable


def test_the_second_trip_counts_from_the_first_with_the_wear_so_far():
    network, servers = ring()
    slow = Protection(2, 100.0, TripCurve("table", "open", (1.4, 2.0), (1000.0, 100.0)))
    quick = Protection(1, 120.0, BREAKER)
    (end,) = follow(situation(network, servers, [quick, slow]), [np.array([0])])
    # Feed 1 trips at 400 s, feed 2 is 40 % worn by then and bears 300 W for 60 s more.
    assert [t.node for t in end.trips] == [1, 2]
    assert end.trips[1].at_s == pytest.approx(460.0)


def test_an_overloaded_ups_goes_to_bypass_and_then_off():
    network, servers = ring(feeds=3)
    protections = [Protection(1, 130.0, UPS, ON_BYPASS)]  # 150 W: 115 %
    (end,) = follow(situation(network, servers, protections), [np.array([0])])
    assert end.trips == (Trip(600.0, 1, "bypass"), Trip(720.0, 1, "off"))
    assert end.dark.tolist() == [0], "the server between both lost feeds"


def test_a_bypass_without_a_limit_of_its_own_ends_the_cascade():
    network, servers = ring()
    (end,) = follow(situation(network, servers, [Protection(1, 130.0, UPS)]), [np.array([0])])
    assert [t.state for t in end.trips] == ["bypass"]
    assert not len(end.dark)


def test_what_is_overloaded_already_trips_without_any_loss():
    network, servers = ring()
    (end,) = follow(situation(network, servers, [Protection(0, 80.0, BREAKER)]), [NOTHING])
    assert end.trips == (Trip(400.0, 0, "open"),)


def test_many_cases_together_end_as_each_alone():
    network, servers = ring(feeds=6)
    rng = np.random.default_rng(1)
    protections = [Protection(n, rng.uniform(90, 160), BREAKER) for n in range(6)]
    room = situation(network, servers, protections)
    cases = [np.array([i]) for i in range(6)] + [np.array([0, 3]), np.array([1, 2])]
    together = follow(room, cases)
    for case, end in zip(cases, together, strict=True):
        (alone,) = follow(room, [case])
        assert alone.trips == end.trips
        np.testing.assert_array_equal(alone.dark, end.dark)
    assert len({end.trips for end in together}) > 1
