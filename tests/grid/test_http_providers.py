"""Electricity Maps and UK Carbon Intensity against doubles that speak the documented formats."""

from datetime import UTC, datetime, timedelta

import pytest
from http_double import Answer

from wattcast_coordinator.grid.electricity_maps import ElectricityMaps
from wattcast_coordinator.grid.uk_carbon import UkCarbon
from wattcast_core.errors import ConfigError, DataError, Unreachable
from wattcast_core.units import epoch_s

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPAN = (NOW - timedelta(hours=48), NOW + timedelta(hours=36))
# As https://portal.electricitymaps.com/docs/api has them.
EM_HISTORY = {
    "zone": "DE",
    "data": [
        {"zone": "DE", "carbonIntensity": 302, "datetime": "2026-03-02T11:00:00.000Z",
         "updatedAt": "2026-03-02T11:40:00.000Z", "emissionFactorType": "lifecycle",
         "isEstimated": False, "estimationMethod": None},
        {"zone": "DE", "carbonIntensity": None, "datetime": "2026-03-02T10:00:00.000Z"},
    ],
}  # fmt: skip
EM_FORECAST = {
    "zone": "DE",
    "forecast": [
        {"carbonIntensity": 310, "datetime": "2026-03-02T11:00:00.000Z"},
        {"carbonIntensity": 320, "datetime": "2026-03-02T12:00:00.000Z"},
        {"carbonIntensity": 190, "datetime": "2026-03-02T13:00:00.000Z"},
    ],
    "updatedAt": "2026-03-02T11:30:00.000Z",
}
EM_PRICE = {
    "zone": "DE",
    "data": [
        {"datetime": "2026-03-02T12:00:00.000Z", "value": 83.5, "unit": "EUR/MWh",
         "source": "nordpool.com"},
        {"datetime": "2026-03-02T13:00:00.000Z", "value": -12.0, "unit": "EUR/MWh",
         "source": "nordpool.com"},
    ],
}  # fmt: skip
# As https://carbon-intensity.github.io/api-definitions/ has them.
UK = {
    "data": [
        {"from": "2026-03-02T11:30Z", "to": "2026-03-02T12:00Z",
         "intensity": {"forecast": 266, "actual": 263, "index": "moderate"}},
        {"from": "2026-03-02T12:00Z", "to": "2026-03-02T12:30Z",
         "intensity": {"forecast": 270, "actual": None, "index": "moderate"}},
    ]
}  # fmt: skip
UK_REGION = {
    "data": {
        "regionid": 3, "dnoregion": "Electricity North West", "shortname": "North West England",
        "data": [{"from": "2026-03-02T12:00Z", "to": "2026-03-02T12:30Z",
                  "intensity": {"forecast": 54, "index": "low"}, "generationmix": []}],
    }
}  # fmt: skip


def em(asked):
    if asked.headers.get("auth-token") != "secret":
        return Answer({"error": "Invalid auth-token"}, 401)
    return {
        "/v4/carbon-intensity/history": Answer(EM_HISTORY),
        "/v4/carbon-intensity/forecast": Answer(EM_FORECAST),
        "/v4/price-day-ahead/combined": Answer(EM_PRICE),
    }.get(asked.path, Answer({"error": "not found"}, 404))


def at(known, hour, minute=0):
    return known.at(epoch_s(NOW.replace(hour=hour, minute=minute)))


async def test_electricity_maps_gives_measured_carbon_where_known_else_forecast(double):
    server = double(em)
    known = await ElectricityMaps("DE", "carbon", "secret", server.url).fetch(*SPAN)
    assert [at(known, h, 30) for h in (11, 12, 13)] == [302, 320, 190]
    assert at(known, 10, 30) is None  # null is a gap, not 0
    assert {a.query["zone"] for a in server.asked} == {"DE"}
    assert all(a.query["disableCallerLookup"] == "true" for a in server.asked)


async def test_electricity_maps_prices_are_money_a_kwh_and_may_be_negative(double):
    known = await ElectricityMaps("DE", "price", "secret", double(em).url).fetch(*SPAN)
    assert at(known, 12, 30) == pytest.approx(0.0835)
    assert at(known, 13, 30) == pytest.approx(-0.012)


async def test_a_refused_token_is_a_matter_of_configuration_and_not_repeated(double):
    with pytest.raises(ConfigError, match="refuses the token") as caught:
        await ElectricityMaps("DE", "price", "wrong", double(em).url).fetch(*SPAN)
    assert "wrong" not in str(caught.value)


async def test_an_unknown_zone_is_told_with_what_the_provider_says(double):
    server = double(lambda _: Answer({"error": "Zone 'XX' does not exist"}, 400))
    with pytest.raises(ConfigError, match="Zone 'XX' does not exist"):
        await ElectricityMaps("XX", "price", "secret", server.url).fetch(*SPAN)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_provider_that_is_busy_or_broken_is_asked_again_later(double, status):
    server = double(lambda _: Answer(b"", status))
    with pytest.raises(Unreachable, match=str(status)):
        await UkCarbon(url=server.url).fetch(*SPAN)


async def test_nobody_listening_is_unreachable():
    with pytest.raises(Unreachable, match="does not answer"):
        await UkCarbon(url="http://127.0.0.1:9").fetch(*SPAN)


@pytest.mark.parametrize(
    "body", [b"<html>maintenance</html>", [], {"data": "soon"}, {"data": []}, {"data": [1]}]
)
async def test_an_answer_that_is_not_understood_is_told_not_guessed(double, body):
    server = double(lambda _: Answer(body))
    with pytest.raises(DataError, match="UK Carbon"):
        await UkCarbon(url=server.url).fetch(*SPAN)


async def test_prices_in_an_unknown_unit_are_refused(double):
    rows = [{"datetime": "2026-03-02T12:00:00.000Z", "value": 8.3, "unit": "ct/kWh"}]
    server = double(lambda _: Answer({"data": rows}))
    with pytest.raises(DataError, match="ct/kWh"):
        await ElectricityMaps("DE", "price", "secret", server.url).fetch(*SPAN)


async def test_uk_carbon_takes_the_actual_value_and_else_the_forecast(double):
    server = double(lambda _: Answer(UK))
    known = await UkCarbon(url=server.url).fetch(*SPAN)
    assert at(known, 11, 45) == 263
    assert at(known, 12, 15) == 270
    assert server.asked[0].path == "/intensity/2026-02-28T12:00Z/2026-03-04T00:00Z"


async def test_uk_carbon_of_a_region(double):
    server = double(lambda _: Answer(UK_REGION))
    known = await UkCarbon("3", server.url).fetch(*SPAN)
    assert at(known, 12, 15) == 54
    assert server.asked[0].path.endswith("/regionid/3")
