from dataclasses import replace
from datetime import timedelta

import decision_room as room
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_configs.control import Decision
from wattcast_configs.power import Rack
from wattcast_coordinator.aggregate.loads import Loads, server_loads
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.aggregate.standing import Shift, Standing
from wattcast_coordinator.ports import Move, MoveState, MoveStatus, Usage
from wattcast_core.signature import FEATURES

READ = Standing(ats={"ats0": 0, "ats1": 0, "ats2": 0})


def problem(inputs, site=None, standing=READ):
    return build(room.build(site or room.site()), inputs, Decision(), standing)


def means(instance):
    mean_w, _ = Loads(instance).moments()
    return mean_w


def forecast_total_w(inputs):
    return sum(np.array(f.quantiles_w)[:, 1] for f in inputs.forecasts.values())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 250), min_size=24, max_size=24))
def test_servers_sum_to_the_feeds_intact_and_after_every_loss(watts):
    names = [w.id for w in room.site().workload]
    inputs = room.Room(room.site(), watts=lambda w, at: watts[names.index(w)]).inputs()
    feeds = means(problem(inputs).instance)[:, :3].sum(1)
    np.testing.assert_allclose(feeds, np.tile(forecast_total_w(inputs), (4, 1)), rtol=1e-9)


def test_one_server_has_the_forecasts_upper_quantiles():
    inputs = room.Room(room.site(), spread_w=20.0).inputs()
    instance = problem(inputs).instance
    graph = room.build(room.site())
    on = instance.wl_server == graph.server["r0s0"]
    sigma_w = np.sqrt(
        (instance.wl_sigma_w[on] ** 2).sum() + (instance.wl_factor_w[on].sum(0) ** 2).sum()
    )
    table = np.array(inputs.forecasts["r0s0"].quantiles_w)
    mean_w = instance.server_idle_w[0] + instance.wl_w[on].sum(0)
    np.testing.assert_allclose(
        mean_w + instance.z_base * sigma_w * instance.growth, table[:, 3], rtol=1e-3
    )
    np.testing.assert_allclose(
        mean_w + instance.z_n1 * sigma_w * instance.growth, table[:, 2], rtol=1e-3
    )


def test_a_lost_feed_leaves_the_room_to_emergency_limits_without_further_contingencies():
    inputs = room.Room(room.site()).inputs()
    instance = problem(inputs, standing=replace(READ, lost=frozenset("A"))).instance
    assert len(instance.contingency) == 0
    assert instance.limit_base_w[0] == 1650.0
    feeds = means(instance)[0, :3]
    assert feeds[0].max() == 0
    np.testing.assert_allclose(feeds.sum(0), forecast_total_w(inputs))


def test_a_stale_server_is_load_but_no_place_to_act_and_its_doubt_is_no_evidence():
    inputs = room.Room(room.site()).inputs()
    old = replace(inputs.forecasts["r0s0"], issued_at=inputs.now - timedelta(seconds=601))
    found = problem(replace(inputs, forecasts={**inputs.forecasts, "r0s0": old}))
    rows = found.instance.wl_server == 0
    assert found.stale == ("r0s0",)
    assert not found.unknown
    assert not found.instance.wl_movable[rows].any()
    assert found.instance.server_cpu[0] == pytest.approx(found.instance.wl_cpu[rows].sum())
    assert (found.instance.wl_sigma_w[rows] > found.evidence.wl_sigma_w[rows]).all()
    np.testing.assert_allclose(means(found.instance)[0, :3].sum(0)[0], forecast_total_w(inputs)[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -5.0, 1e6])
def test_a_forecast_that_cannot_be_true_is_none(bad):
    inputs = room.Room(room.site()).inputs()
    table = ((bad,) * 4, *inputs.forecasts["r0s0"].quantiles_w[1:])
    odd = replace(inputs.forecasts["r0s0"], quantiles_w=table)
    found = problem(replace(inputs, forecasts={**inputs.forecasts, "r0s0": odd}))
    assert found.stale == ("r0s0",)
    assert np.isfinite(Loads(found.instance).evaluate()).all()


def test_a_server_never_measured_counts_in_full_and_freezes_its_feeds():
    simulated = room.Room(room.site())
    simulated.silent = {"r0s0"}
    found = problem(simulated.inputs())
    graph = room.build(room.site())
    assert found.unknown == ("r0s0",)
    assert found.frozen == {"A", "B"}
    assert means(found.instance)[0, :3, 0].sum() == pytest.approx(11 * 220 + 400 + 150)
    assert not found.instance.wl_movable.any(), "every rack shares a feed with A or B"
    assert np.isinf(found.instance.ats_cost[graph.node["ats0"]])


def test_a_workload_in_motion_counts_on_both_servers():
    inputs = room.Room(room.site()).inputs()
    move = MoveStatus("i", Move("w000", "r0s0", "r1s0", 0.0, ""), MoveState.RUNNING)
    found = problem(replace(inputs, moves=(move,)))
    extra = means(found.instance)[0, :3].sum(0) - forecast_total_w(inputs)
    np.testing.assert_allclose(extra, 60.0)
    assert not found.instance.wl_movable[found.workloads.index("w000")]


def test_a_move_that_readings_do_not_show_yet_is_carried_over():
    inputs = room.Room(room.site()).inputs()
    before = means(problem(inputs).instance)[0, :3, 0]
    shift = Shift("w000", "r0s0", "r1s0", 60.0, inputs.now - timedelta(seconds=150))
    after = means(problem(inputs, standing=replace(READ, shifts=(shift,))).instance)[0, :3, 0]
    np.testing.assert_allclose(after - before, [-15, 0, 15], atol=1e-9)  # half of 60 W, two cords


def test_transfers_are_priced_by_what_hangs_on_the_switch_and_forbidden_where_barred():
    graph = room.build(room.site())
    node = [graph.node[f"ats{r}"] for r in range(3)]
    barred = replace(READ, ats={"ats0": 0, "ats1": 1}, ats_barred={"ats1": "dwell"})
    instance = problem(room.Room(room.site()).inputs(), standing=barred).instance
    assert instance.ats_cost[node[0]] == 2 + 4  # the appliance's own load, criticality 3
    assert np.isinf(instance.ats_cost[node[1]])
    assert np.isinf(instance.ats_cost[node[2]]), "never read"
    assert instance.ats_source[node].tolist() == [0, 1, 0]


def test_real_seconds_become_data_seconds():
    inputs = room.Room(room.site(), speed=30.0).inputs()
    instance = problem(inputs).instance
    assert instance.setup_s == Decision().setup_real_s * 30
    assert 1024 * 0.5 / instance.wl_bw_mibs[0] == pytest.approx(4 * 30)


def test_servers_with_both_cords_on_one_feed_get_contingencies_of_their_own():
    site = room.site()
    odd = replace(site.server[0], cords=("r0-A", "r2-A"))
    site = replace(site, server=(odd, *site.server[1:]))
    graph = room.build(site)
    instance = problem(room.Room(site).inputs(), site).instance
    lost = {graph.nodes[n] for n in instance.contingency}
    assert lost == {"A", "B", "C", "r0-A", "r2-A"}


def test_the_watts_of_a_workload_follow_what_it_uses_and_the_server_keeps_its_sum():
    inputs = room.Room(room.site()).inputs()
    by_size = problem(inputs)
    here = [w.id for w in room.site().workload if w.server == room.site().workload[0].server]
    used = {name: Usage(cpu=3.0 if name == here[0] else 1.0) for name in here}
    by_use = problem(replace(inputs, usage=used))
    total_w = sum(by_size.reference_w(name) for name in here)
    expected = {name: total_w * used[name].cpu / (2 + len(here)) for name in here}
    assert {name: by_use.reference_w(name) for name in here} == pytest.approx(expected)
    np.testing.assert_allclose(means(by_use.instance), means(by_size.instance))


@pytest.mark.parametrize(
    ("inlet_c", "part"), [(22.0, 1.0), (27.0, 1.0), (29.5, 0.5), (33.0, 0.0), (np.nan, 0.5)]
)
def test_a_rack_may_warm_up_by_what_its_cooling_and_inlet_leave(inlet_c, part):
    site = replace(room.site(), rack=(Rack("r0", cooling_w=5000.0),))
    inputs = room.Room(site).inputs()
    at = FEATURES.index("inlet_temperature_c")
    warm = {
        name: replace(one, values=(*one.values[:at], inlet_c, *one.values[at + 1 :]))
        for name, one in inputs.signatures.items()
    }
    graph = room.build(site)
    instance = problem(replace(inputs, signatures=warm), site).instance
    heat_w = server_loads(instance, instance.wl_server).mean_w.max(1)
    mine_w = heat_w[graph.rack == graph.racks.index("r0")].sum()
    expected_w = mine_w + part * (5000.0 - mine_w)
    assert instance.rack_cooling_w[graph.racks.index("r0")] == pytest.approx(expected_w, rel=1e-6)
    others = np.delete(instance.rack_cooling_w, graph.racks.index("r0"))
    assert np.isinf(others).all() == (part > 0), "a hot inlet speaks for itself"
