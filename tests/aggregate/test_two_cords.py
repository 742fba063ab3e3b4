"""Servers with many cords as the planner sees them, against the room as it is."""

from dataclasses import replace

import decision_room as room
import numpy as np
import pytest

from wattcast_configs.control import Decision
from wattcast_configs.site import Server
from wattcast_coordinator.aggregate.loads import Loads
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.aggregate.two_cords import two_cords
from wattcast_coordinator.plan import solve

CORDS = ("r0-A", "r0-B", "r2-A", "r1-B", "r0-A", "r2-C")
SHARES = (0.2, 0.15, 0.15, 0.2, 0.1, 0.2)


@pytest.fixture(scope="module")
def instance():
    site = room.site()
    chassis = Server("r0s0", "r0", CORDS, SHARES, room.IDLE_W, 400.0, engine="http://x", needed=3)
    site = replace(site, server=(chassis, *site.server[1:]))
    simulated = room.Room(site)
    return build(room.build(site), simulated.inputs(), Decision(), Standing()).instance


def test_a_room_with_two_cords_a_server_is_left_alone():
    site = room.site()
    plain = build(room.build(site), room.Room(site).inputs(), Decision(), Standing()).instance
    assert two_cords(plain) is plain


def test_loads_stay_what_they_are_and_no_deviation_gets_smaller(instance):
    parts = two_cords(instance)
    assert parts.server_cord.shape[1] == 2
    mean_w, sigma_w = Loads(instance).moments()
    parts_w, parts_sigma_w = Loads(parts).moments()
    np.testing.assert_allclose(parts_w[0], mean_w[0], atol=1e-6)
    assert (parts_sigma_w[0] >= sigma_w[0] - 1e-9).all()
    assert parts_w.sum() == pytest.approx(mean_w.sum(), rel=0.05), "losses differ only by detail"


def test_servers_and_workloads_keep_their_numbers_and_the_chassis_keeps_its_own(instance):
    parts = two_cords(instance)
    rows, servers = len(instance.wl_server), len(instance.server_cord)
    np.testing.assert_array_equal(parts.wl_server[:rows], instance.wl_server)
    assert (parts.wl_server[rows:] >= servers).all()
    assert not parts.wl_movable[: rows + 1][parts.wl_server[: rows + 1] == 0].any()
    assert parts.server_cpu[0] == pytest.approx(parts.wl_cpu[parts.wl_server == 0].sum())
    assert not parts.wl_movable[rows:].any()


def test_the_planner_takes_it(instance):
    solution = solve(two_cords(replace(instance, limit_base_w=instance.limit_base_w * 0.5)))
    assert all(workload < len(instance.wl_server) for workload, _, _ in solution.moves)
    assert all(server < len(instance.server_cord) for _, server, _ in solution.moves)
