"""Prices beside the decision cycle: from files and tariffs to money at the feeds."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from wattcast_configs.grid import Band, Grid, Meter, Series, Source
from wattcast_coordinator.run.prices import Prices
from wattcast_core.errors import ConfigError

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HORIZON_S = 3600.0


def grid(**changes):
    series = Series("spot", "file", "price", file="p.csv", column="p", unit="per_mwh")
    made = {
        "series": (series,),
        "meter": (Meter("m1", ("A", "B"), price="spot", losses={"B": 0.5}, fallback_per_kwh=0.33),),
        "carbon_price_per_t": 0.0,
    }
    return Grid(**made | changes)


def write(folder, *price, begin=NOW):
    rows = [f"{begin + timedelta(hours=k):%Y-%m-%dT%H:%M},{p}" for k, p in enumerate(price)]
    (folder / "p.csv").write_text("\n".join(["t,p", *rows]) + "\n")


async def fresh(folder, setting):
    prices = Prices(setting, folder, folder / "state")
    for cache in prices._caches.values():
        await cache.refresh(NOW)
    return prices


def costs(prices, at=NOW, load_w=1000.0, peak_w=None):
    load = {"A": load_w, "B": load_w}
    peak = load if peak_w is None else {"A": peak_w, "B": peak_w}
    return prices.costs(at, load, peak, HORIZON_S)


async def test_feeds_pay_their_meters_price_and_their_losses(tmp_path):
    write(tmp_path, 100, 300, -40)
    found = costs(await fresh(tmp_path, grid()))
    assert found.now == {"A": pytest.approx(0.1), "B": pytest.approx(0.2)}
    assert found.hourly["A"][:3] == pytest.approx((0.1, 0.3, -0.04))
    assert not found.doubts


async def test_a_negative_price_is_shown_but_places_nothing(tmp_path):
    write(tmp_path, -40, 300)
    found = costs(await fresh(tmp_path, grid()))
    assert found.now == {"A": 0, "B": 0}
    assert found.meters["m1"][0] == pytest.approx(-0.04)


async def test_without_a_price_yesterdays_hour_counts_and_people_are_told(tmp_path):
    write(tmp_path, *range(100, 124), begin=NOW - timedelta(hours=24))
    found = costs(await fresh(tmp_path, grid()), at=NOW + timedelta(hours=2))
    assert found.now["A"] == pytest.approx(0.102)
    (doubt,) = found.doubts
    assert doubt.startswith("meter m1: price 'spot': it has no value for now; that of an earlier")


async def test_without_any_price_the_fallback_counts_and_never_0(tmp_path):
    found = costs(await fresh(tmp_path, grid()))
    assert found.now == {"A": pytest.approx(0.33), "B": pytest.approx(0.66)}
    assert "no such file" in found.doubts[0]
    assert "the fallback counts" in found.doubts[0]


async def test_an_answer_too_old_counts_no_longer(tmp_path):
    write(tmp_path, *range(100, 200))
    prices = await fresh(tmp_path, grid(stale_real_s=3600.0))
    prices._caches["spot"].fetched_real_s -= 3601
    assert costs(prices).now["A"] == pytest.approx(0.33)


async def test_the_sun_on_the_roof_sets_the_price_as_far_as_it_reaches(tmp_path):
    write(tmp_path, 300)
    setting = grid(source=(Source("pv", "m1", "pv", limit_w=5000.0, price_per_kwh=0.05),))
    prices = await fresh(tmp_path, setting)
    assert costs(prices, load_w=1000).now["A"] == pytest.approx(0.05)
    assert costs(prices, load_w=4000).now["A"] == pytest.approx(0.3)


async def test_sun_whose_forecast_is_missing_does_not_shine(tmp_path):
    write(tmp_path, 300)
    sun = Series("sun", "file", "power", file="none.csv", column="w", unit="w")
    setting = grid(
        series=(*grid().series, sun), source=(Source("pv", "m1", "pv", 5000.0, available="sun"),)
    )
    assert costs(await fresh(tmp_path, setting)).now["A"] == pytest.approx(0.3)


async def test_carbon_costs_what_its_price_says(tmp_path):
    write(tmp_path, 100)
    clean = Meter("m1", ("A", "B"), price="spot", fallback_g_per_kwh=400.0)
    found = costs(await fresh(tmp_path, grid(meter=(clean,), carbon_price_per_t=100.0)))
    assert found.now["A"] == pytest.approx(0.1 + 0.04)


async def test_a_tariff_needs_no_provider(tmp_path):
    home = Series("home", "tariff", "price", zone="Europe/Berlin",
                  band=(Band(0.4, "mon-fri", "07:00", "20:00"), Band(0.2)))  # fmt: skip
    setting = grid(series=(home,), meter=(Meter("m1", ("A", "B"), price="home"),))
    found = costs(await fresh(tmp_path, setting))
    assert found.now["A"] == pytest.approx(0.4)  # Monday, 13:00 there
    assert found.hourly["A"][8] == pytest.approx(0.2)  # 21:00


async def test_the_months_peak_is_kept_and_a_new_one_costs(tmp_path):
    write(tmp_path, 100)
    meter = Meter("m1", ("A", "B"), price="spot", demand_charge_per_kw=10.0)
    prices = await fresh(tmp_path, grid(meter=(meter,)))
    for k in range(6):
        prices.note(NOW + timedelta(minutes=5 * k), {"A": 1000.0, "B": 500.0}, 300)
    assert prices.demand["m1"].peak_w == pytest.approx(1500)
    assert costs(prices, peak_w=700.0).now["A"] == pytest.approx(0.1)
    assert costs(prices, peak_w=800.0).now["A"] == pytest.approx(10.1)
    again = Prices(grid(meter=(meter,)), tmp_path, tmp_path / "state")
    assert again.demand["m1"].peak_w == pytest.approx(1500)


async def test_a_feed_that_was_not_measured_sets_no_peak(tmp_path):
    write(tmp_path, 100)
    prices = await fresh(tmp_path, grid())
    for k in range(6):
        prices.note(NOW + timedelta(minutes=5 * k), {"A": 1000.0, "B": np.nan}, 300)
    assert prices.demand["m1"].peak_w == 0


def test_a_damaged_file_of_the_peak_begins_anew(tmp_path):
    (tmp_path / "state" / "grid").mkdir(parents=True)
    (tmp_path / "state" / "grid" / "m1.demand.json").write_text(json.dumps({"peak": 5}))
    assert Prices(grid(), tmp_path, tmp_path / "state").demand["m1"].peak_w == 0


def test_a_provider_that_cannot_be_configured_stops_the_start(tmp_path):
    bad = Series("spot", "electricity_maps", "price", zone="DE", token="env:NOT_SET_ANYWHERE")
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE"):
        Prices(grid(series=(bad,)), tmp_path, tmp_path / "state")
