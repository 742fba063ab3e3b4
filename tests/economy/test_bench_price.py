"""``wattcast bench price``: limits kept, nothing saved by leaving work out, honest when blind."""

import argparse
import json

import numpy as np
import pytest

from wattcast_core.errors import ConfigError, DataError
from wattcast_tools import bench_price
from wattcast_tools.price.market import NAME, Market, read, shipped
from wattcast_tools.price.operate import CONTRACT_HOURS, Run, Terms, Way
from wattcast_tools.price.site import SPOT, build

TERMS = Terms(carbon_per_t=85.0, demand_per_kw=10.0, disruption=0.02)
HOURS = CONTRACT_HOURS + 4 * 24


def market(price, carbon=None):
    series = np.array([price(h) for h in range(HOURS)])
    grams = np.zeros(HOURS) if carbon is None else np.array([carbon(h) for h in range(HOURS)])
    return Market("test", 0.0, series, grams)


def bill(price, way, carbon=None, terms=TERMS):
    return Run(build(1), market(price, carbon), terms, way).bill()


BOTH = Way(when=True, where=True)


def spiky(hour):
    return 0.02 if hour % 24 < 6 else 0.3


def test_cheap_nights_pay_for_waiting_and_the_same_work_is_done():
    blind, when = bill(spiky, Way()), bill(spiky, Way(when=True))
    assert when.energy < blind.energy
    assert when.kwh == pytest.approx(blind.kwh, rel=1e-3)
    assert (blind.left_out, when.left_out, when.moves) == (0, 0, 0)


def test_a_flat_price_moves_nothing_and_saves_nothing():
    blind, both = bill(lambda _: 0.1, Way()), bill(lambda _: 0.1, BOTH)
    assert both.moves == 0
    assert both.energy == pytest.approx(blind.energy, rel=1e-6)


def test_a_meter_that_stays_cheaper_is_moved_to_and_the_moves_are_counted():
    def fallen(hour):
        return 0.4 if hour < CONTRACT_HOURS else 0.05

    blind, where = bill(fallen, Way()), bill(fallen, Way(where=True))
    assert where.moves > 0
    assert where.total < blind.total


def test_carbon_alone_makes_work_wait():
    def dirty(hour):
        return 700.0 if 8 <= hour % 24 < 22 else 100.0

    terms = Terms(500.0, 0.0, 0.02)
    blind = bill(lambda _: 0.1, Way(), dirty, terms)
    when = bill(lambda _: 0.1, Way(when=True), dirty, terms)
    assert when.carbon_kg < blind.carbon_kg


@pytest.mark.parametrize("way", [Way(), BOTH, Way(when=True, where=True, published=False)])
def test_the_markets_feeds_keep_their_limits_whatever_the_price(way):
    site = build(1)
    run = Run(site, market(lambda h: -0.5 if h % 24 < 4 else 0.5), TERMS, way)
    assert run.bill().left_out == 0
    limit_w = site.instance.limit_n1_w[list(SPOT)].min()
    # After the loss of either of its feeds the other one carries the whole meter.
    assert run._load_w[0].max() <= limit_w


def test_the_future_is_not_known_before_it_is_published():
    def later(hour):
        return 0.1 if hour < CONTRACT_HOURS + 48 else 9.9

    run = Run(build(1), market(later), TERMS, BOTH)
    morning, noon = CONTRACT_HOURS + 24 + 8, CONTRACT_HOURS + 24 + 12
    assert run._costs(morning)[0].max() == pytest.approx(0.1)
    assert run._costs(noon)[0].max() == pytest.approx(9.9)
    unpublished = Run(build(1), market(later), TERMS, Way(published=False))
    assert unpublished._costs(noon)[0].max() == pytest.approx(0.1)


def test_the_excerpt_that_ships_has_whole_days_and_negative_prices():
    zones = shipped()
    assert len(zones) == 4
    assert all(len(z.price_per_kwh) % 24 == 0 for z in zones)
    assert min(z.price_per_kwh.min() for z in zones) < 0


def call(*words):
    parser = argparse.ArgumentParser()
    bench_price.add_arguments(parser)
    return bench_price.run(parser.parse_args([str(word) for word in words]))


def test_the_command_tells_every_zone_and_the_median(capsys, monkeypatch):
    two = shipped()[:2]
    monkeypatch.setattr("wattcast_tools.price.market.shipped", lambda: two)
    assert call("--weeks", 1, "--seeds", 2, "--json", "--jobs", 1) == 0
    told = json.loads(capsys.readouterr().out)
    assert [z["zone"] for z in told["zones"]] == [z.zone for z in two]
    for zone in told["zones"]:
        assert [room["seed"] for room in zone["rooms"]] == [1, 2]
        bills = [bill for room in zone["rooms"] for bill in room["bills"].values()]
        assert {bill["left_out"] for bill in bills} == {0}
    saved = [z["saved_pct"]["when and where"] for z in told["zones"]]
    assert told["median"]["saved_pct"]["when and where"] == pytest.approx(
        np.median(saved), abs=0.01
    )


def test_wrong_use_is_told(tmp_path):
    with pytest.raises(ConfigError, match=f"{NAME} is missing"):
        call("--data", tmp_path)
    with pytest.raises(ConfigError, match="--weeks 500"):
        call("--weeks", 500)
    with pytest.raises(ConfigError, match="above 0"):
        call("--disruption", 0)
    (tmp_path / NAME).write_text("no parquet")
    with pytest.raises(DataError, match="not a readable parquet file"):
        read(tmp_path)
