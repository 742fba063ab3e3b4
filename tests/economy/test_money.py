"""Sources behind a meter, demand charge, feeds' prices, and when to run."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_configs.grid import Grid, Job, Meter, Source
from wattcast_coordinator.economy.deferral import Slot, starts
from wattcast_coordinator.economy.demand import Demand, adder_per_kwh, noted
from wattcast_coordinator.economy.dispatch import Supply, dispatch
from wattcast_coordinator.economy.jobs import Surroundings, advise
from wattcast_coordinator.economy.prices import MeterAhead, feed_costs, meter_cost, placing
from wattcast_coordinator.economy.values import PUBLISHED, Ahead

NOW = datetime(2026, 3, 2, 18, tzinfo=UTC)


def supply(name, limit_w, cost, energy_kwh=np.inf):
    return Supply(name, np.array(limit_w, float), np.array(cost, float), energy_kwh)


def test_the_cheapest_source_serves_first_and_the_one_with_power_to_spare_sets_the_price():
    sources = [
        supply("utility", [np.inf] * 3, [0.3] * 3), supply("pv", [0, 500, 2000], [0.05] * 3)
    ]  # fmt: skip
    found = dispatch(sources, np.full(3, 1000.0), 3600)
    assert found.power_w.tolist() == [[1000, 500, 0], [0, 500, 1000]]
    assert found.marginal_per_kwh.tolist() == [0.3, 0.3, 0.05]
    assert not found.unserved_w.any()


def test_stored_energy_goes_to_the_dearest_hours_while_it_lasts():
    sources = [
        supply("utility", [np.inf] * 4, [0.1, 0.5, 0.4, 0.2]),
        supply("battery", [1000] * 4, [0.15] * 4, energy_kwh=1.5),
    ]
    found = dispatch(sources, np.full(4, 1000.0), 3600)
    assert found.power_w[1].tolist() == [0, 1000, 500, 0]


def test_load_beyond_every_source_is_told_and_costs_what_the_dearest_costs():
    sources = [supply("a", [100], [0.2]), supply("b", [100], [0.9])]
    found = dispatch(sources, np.array([250.0]), 3600)
    assert found.unserved_w.tolist() == [50]
    assert found.marginal_per_kwh.tolist() == [0.9]


@given(
    st.lists(st.tuples(st.floats(0, 2000), st.floats(-1, 2)), min_size=1, max_size=5),
    st.floats(0, 5000),
)
def test_dispatch_serves_all_it_can_and_never_more_than_a_limit(sources, load_w):
    made = [supply(str(k), [limit], [cost]) for k, (limit, cost) in enumerate(sources)]
    found = dispatch(made, np.array([load_w]), 900)
    limits = np.array([limit for limit, _ in sources])
    assert (found.power_w[:, 0] <= limits + 1e-9).all()
    assert found.power_w.sum() == pytest.approx(min(load_w, limits.sum()))
    assert found.unserved_w[0] == pytest.approx(max(load_w - limits.sum(), 0), abs=1e-9)


def two_meters(**changes):
    return Grid(
        carbon_price_per_t=100.0,
        meter=(
            Meter("m1", ("A", "B"), losses={"B": 0.2}, adder_per_kwh=0.05, **changes),
            Meter("m2", ("C",)),
        ),
        source=(Source("pv", "m1", "pv", 500.0, price_per_kwh=0.02),),
    )


def known(price, carbon, load_w=1000.0, **rest):
    steps = len(price)
    as_ahead = lambda v: Ahead(tuple(v), (PUBLISHED,) * steps)  # noqa: E731
    return MeterAhead(as_ahead(price), as_ahead(carbon), np.full(steps, load_w), {}, **rest)


def test_feeds_behind_one_meter_pay_its_price_and_differ_by_losses_only():
    grid = two_meters()
    cost = {"m1": meter_cost(grid, grid.meter[0], known([0.2], [500.0]), 3600),
            "m2": meter_cost(grid, grid.meter[1], known([0.2], [500.0]), 3600)}  # fmt: skip
    feeds = feed_costs(grid.meter, cost)
    assert feeds["A"][0] == pytest.approx(0.2 + 0.05 + 0.05)  # 500 g at 100 a tonne are 0.05
    assert feeds["B"][0] == pytest.approx(feeds["A"][0] / 0.8)
    assert feeds["C"][0] == pytest.approx(0.25)


def test_below_the_sun_a_further_kilowatt_costs_what_feeding_in_would_earn():
    grid = two_meters()
    assert meter_cost(grid, grid.meter[0], known([0.2], [0.0], load_w=400), 3600)[0] == 0.02


def test_a_negative_price_never_makes_waste_attractive_for_placement():
    assert placing(np.array([-0.3, -0.1])) == 0
    assert placing(np.array([-0.1, 0.3])) == pytest.approx(0.1)


def test_the_peak_is_the_highest_whole_window_of_the_month():
    demand = Demand()
    loads = [100, 200, 300, 900, 100, 100]  # W in steps of 5 min, windows of 15
    for k, load_w in enumerate(loads, start=1):
        at = NOW + timedelta(minutes=5 * k)
        demand = noted(demand, at, load_w, 300, window_s=900, zone=UTC)
    assert demand.peak_w == pytest.approx(1100 / 3)
    assert demand.month == "2026-03"


def test_a_window_measured_for_less_than_half_says_nothing():
    demand = noted(Demand(), NOW + timedelta(minutes=5), 900, 300, window_s=900, zone=UTC)
    demand = noted(demand, NOW + timedelta(minutes=30), 100, 900, window_s=900, zone=UTC)
    assert demand.peak_w == 100


def test_a_new_month_begins_a_new_peak_in_the_meters_own_time_zone():
    before = Demand(month="2026-03", peak_w=5000)
    at = datetime(2026, 3, 31, 23, 0, tzinfo=UTC)
    abroad = timezone(timedelta(hours=2))
    assert noted(before, at, 1.0, 900, window_s=900, zone=UTC).peak_w == 5000
    after = noted(before, at, 1.0, 900, window_s=900, zone=abroad)
    assert (after.month, after.peak_w) == ("2026-04", 1.0)


def test_only_a_horizon_that_sets_a_new_peak_pays_for_demand():
    demand = Demand(month="2026-03", peak_w=1000)
    assert adder_per_kwh(demand, 900, 12.0, 3600) == 0
    assert adder_per_kwh(demand, 1100, 12.0, 3600) == 12.0
    assert adder_per_kwh(Demand(), 1100, 12.0, 3600) == 0  # nothing is known of the month yet


def run(slots, cost, spare_w=None, base_w=None, peak_w=np.inf, charge=0.0):
    cost = np.array(cost, float)
    return starts(
        slots,
        cost_per_kwh=cost,
        spare_w=np.full(len(cost), np.inf) if spare_w is None else np.array(spare_w, float),
        base_w=np.zeros(len(cost)) if base_w is None else np.array(base_w, float),
        peak_w=peak_w,
        charge_per_kw=charge,
        step_s=3600,
    )


def test_work_runs_in_the_cheapest_hours_of_its_window_even_at_a_negative_price():
    (found,) = run([Slot("w", 0, 5, 2, 1000)], [0.3, 0.2, -0.1, -0.2, 0.4, 0.1])
    assert (found.step, found.cost) == (2, pytest.approx(-0.3))
    assert found.at_once == pytest.approx(0.5)


def test_safety_comes_before_the_cheapest_hour():
    slots = [Slot("w", 0, 3, 1, 1000)]
    (found,) = run(slots, [0.4, 0.1, 0.2, 0.3], spare_w=[5000, 900, 1000, 5000])
    assert found.step == 2
    (found,) = run(slots, [0.4, 0.1, 0.2, 0.3], spare_w=[0, 999, 999, 0])
    assert found.step is None


def test_earlier_placed_work_takes_the_power_from_later_ones():
    slots = [Slot("big", 0, 3, 1, 2000), Slot("small", 0, 3, 1, 1000)]
    big, small = run(slots, [0.4, 0.1, 0.2, 0.3], spare_w=[2500] * 4)
    assert (big.step, small.step) == (1, 2)


def test_a_new_peak_of_the_month_can_cost_more_than_a_cheap_hour_saves():
    slots = [Slot("w", 0, 2, 1, 1000)]
    assert run(slots, [0.3, 0.1, 0.2], base_w=[0, 1500, 0], peak_w=2000, charge=10)[0].step == 2
    assert run(slots, [0.3, 0.1, 0.2], base_w=[0, 1500, 0], peak_w=2000, charge=0)[0].step == 1


@given(st.lists(st.floats(-1, 3), min_size=6, max_size=30), st.integers(1, 5), st.data())
def test_no_start_is_cheaper_than_the_one_chosen(cost, steps, data):
    first = data.draw(st.integers(0, len(cost) - steps))
    (found,) = run([Slot("w", first, len(cost) - 1, steps, 1000)], cost)
    every = [sum(cost[k : k + steps]) for k in range(first, len(cost) - steps + 1)]
    assert found.cost == pytest.approx(min(every), abs=1e-9)
    assert found.cost <= found.at_once + 1e-9


@pytest.mark.parametrize(
    ("hour", "expected"),
    [
        (18, "2026-03-03T02:00"),  # before the window: its cheapest hour
        (23, "2026-03-03T02:00"),  # inside it
        (3, "2026-03-02T05:00"),  # what is left of it
        (5.5, "2026-03-03T02:30"),  # too late to finish: the next window
    ],
)
def test_a_job_is_begun_at_the_cheapest_hour_of_its_window(hour, expected):
    job = Job("batch", "20:00", "06:00", run_s=3600, power_w=1000)
    now = NOW.replace(hour=0) + timedelta(hours=hour)
    cost = np.array([{2: 0.1, 5: 0.15}.get(int(hour + k) % 24, 0.3) for k in range(24)])
    (found,) = advise([job], now, {"batch": Surroundings(cost, spare_w=5000)})
    assert found.begin is not None
    assert f"{found.begin:%Y-%m-%dT%H:%M}" == expected


def test_a_job_without_power_to_spare_gets_no_begin():
    job = Job("batch", "20:00", "06:00", run_s=3600, power_w=1000)
    (found,) = advise([job], NOW, {"batch": Surroundings(np.full(24, 0.2), spare_w=900)})
    assert found.begin is None
