import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wattcast_coordinator.study.days import forecasts
from wattcast_coordinator.study.recording import Past, from_document, never_measured, to_document
from wattcast_core.errors import ConfigError, DataError

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def through_json(recording):
    return from_document(json.loads(json.dumps(to_document(recording), allow_nan=False)), "test")


def test_a_recording_comes_back_as_it_was(record):
    made = record()
    assert through_json(made) == made


def test_gaps_and_infinities_survive_strict_json(record):
    made = record()
    server = made.site.server[0].id
    past = replace(made.past, mean_w={server: (1.0, math.nan, math.inf)}, peak_w={})
    back = through_json(replace(made, past=past)).past.mean_w[server]
    assert back[0] == 1
    assert math.isnan(back[1])
    assert back[2] == math.inf


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: [], "no recording of a room"),
        (lambda d: {"feeds": []}, "no recording of a room"),
        (lambda d: d | {"wattcast_recording": 99}, "of format 99"),
        (lambda d: d | {"inputs": {"now": "yesterday"}}, "cannot be read back"),
        (lambda d: d | {"site": {}}, "record it again"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_remedy(record, change, match):
    document = json.loads(json.dumps(to_document(record())))
    with pytest.raises(DataError, match=match):
        from_document(change(document), "room.json")


def test_a_recorded_site_that_is_not_sound_is_told_by_its_part(record):
    document = json.loads(json.dumps(to_document(record())))
    document["site"]["server"][0]["cords"] = ["nowhere", "r0-B"]
    with pytest.raises(ConfigError, match="server r0s0: cords"):
        from_document(document, "room.json")


def hourly(days, value):
    series = tuple(float(value(h)) for h in range(24 * days))
    return Past(MONDAY, {"s": series}, {"s": tuple(1.1 * w for w in series)})


def test_an_hour_ahead_is_the_same_hour_of_past_days():
    found = forecasts(hourly(5, lambda h: 100 + h % 24), MONDAY.replace(day=9, hour=22), 4)["s"]
    assert [row[1] for row in found.quantiles_w] == pytest.approx([122, 123, 100, 101])


def test_days_that_differed_and_peaks_within_the_hour_widen_the_forecast():
    steady = forecasts(hourly(5, lambda h: 100), MONDAY, 1)["s"].quantiles_w[0]
    varied = forecasts(hourly(5, lambda h: 100 + 20 * (h // 24 % 2)), MONDAY, 1)["s"].quantiles_w[0]
    assert varied[3] - varied[1] > 2 * (steady[3] - steady[1])
    assert steady[3] > 110  # the peaks that were seen lie within the 0.99 quantile


def test_fewer_days_mean_more_doubt():
    few, many = (
        forecasts(hourly(n, lambda h: 100 + 20 * (h // 24 % 2)), MONDAY, 1)["s"].quantiles_w[0]
        for n in (2, 6)
    )
    assert few[3] - few[1] > many[3] - many[1]


def test_an_hour_seen_on_one_day_only_is_not_known():
    past = Past(MONDAY, {"s": (100.0,) * 24}, {})
    assert forecasts(past, MONDAY, 1) == {}


def test_an_unmeasured_hour_does_not_count_as_zero():
    def gap(hour):
        return math.nan if hour < 24 else 100.0

    found = forecasts(hourly(4, gap), MONDAY, 24)["s"]
    assert min(row[1] for row in found.quantiles_w) == pytest.approx(100)


def test_a_site_alone_was_never_measured(record):
    made = never_measured(record().site, MONDAY)
    assert not made.inputs.forecasts
    assert through_json(made) == made
