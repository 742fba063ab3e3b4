"""Files, tariffs, the cache in front of every provider, and the choice by configuration."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from wattcast_configs.grid import Band, Series
from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.blocking import in_daemon
from wattcast_coordinator.grid.cache import Cache
from wattcast_coordinator.grid.choose import provider
from wattcast_coordinator.grid.electricity_maps import ElectricityMaps
from wattcast_coordinator.grid.table import Table
from wattcast_coordinator.grid.tariff import Tariff
from wattcast_core.errors import ConfigError, DataError, Unreachable
from wattcast_core.units import epoch_s

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
CSV = "t,price\n2026-03-02T12:00:00+01:00,100\n2026-03-02T12:00,-50\n2026-03-02T13:00,\n"


async def test_a_csv_file_of_the_operators_own(tmp_path):
    path = tmp_path / "price.csv"
    path.write_text(CSV)
    known = await Table(path, "t", "price", 1e-3).fetch(NOW, NOW)
    assert known.at_s == (epoch_s(NOW) - 3600, epoch_s(NOW))  # with offset, and UTC without
    assert known.value == (0.1, -0.05)  # an empty field is missing, not 0


async def test_a_parquet_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    stamps = pa.array([NOW, NOW + timedelta(hours=1)], pa.timestamp("us", "UTC"))
    parquet.write_table(pa.table({"t": stamps, "g": [300.0, None]}), tmp_path / "c.parquet")
    known = await Table(tmp_path / "c.parquet", "t", "g", 1.0).fetch(NOW, NOW)
    assert (known.at_s, known.value) == ((epoch_s(NOW),), (300.0,))


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("t,cost\n2026-03-02,1\n", ConfigError, "no column price; it has t, cost"),
        ("t,price\n2026-03-02T12:00,dear\n", DataError, "line 2: 'dear' is no number"),
        ("t,price\nyesterday,1\n", DataError, "line 2: 'yesterday' is no ISO time"),
        ("t,price\n", DataError, "no value"),
        (None, Unreachable, "no such file"),
    ],
)
async def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path, text, kind, match):
    path = tmp_path / "price.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind, match=match):
        await Table(path, "t", "price", 1.0).fetch(NOW, NOW)


BANDS = (
    Band(0.40, "mon-fri", "07:00", "20:00"),
    Band(0.15, "", "22:00", "06:00"),
    Band(0.25),
)


@pytest.mark.parametrize(
    ("local", "price"),
    [
        ("2026-03-02T08:00+01:00", 0.40),
        ("2026-03-07T08:00+01:00", 0.25),  # Saturday
        ("2026-03-02T21:45+01:00", 0.25),
        ("2026-03-02T23:00+01:00", 0.15),
        ("2026-03-02T05:45+01:00", 0.15),
        ("2026-07-06T07:00+02:00", 0.40),  # summer time
    ],
)
async def test_a_tariff_follows_days_and_hours_of_its_own_time_zone(local, price):
    at = datetime.fromisoformat(local)
    known = await Tariff(BANDS, "Europe/Berlin").fetch(at - timedelta(days=1), at)
    assert known.at(epoch_s(at)) == price


async def test_a_band_over_midnight_belongs_to_the_day_it_begins():
    tariff = Tariff((Band(0.1, "fri", "22:00", "06:00"), Band(0.3)))
    known = await tariff.fetch(NOW, NOW + timedelta(days=7))
    saturday = datetime(2026, 3, 7, 5, tzinfo=UTC)
    assert known.at(epoch_s(saturday)) == 0.1
    assert known.at(epoch_s(saturday - timedelta(days=1))) == 0.3


@pytest.mark.parametrize(
    ("bands", "zone", "match"),
    [
        ((Band(0.3, "mon-fri"),), "UTC", "no band for sat 00:00"),
        ((Band(0.3, "weekdays"),), "UTC", "give e.g. mon-fri"),
        ((Band(0.3, "", "7 am"), Band(0.2)), "UTC", "give HH:MM"),
        ((Band(0.3),), "Europe/Atlantis", "not known"),
    ],
)
def test_a_tariff_with_a_hole_or_a_typo_is_refused_at_the_start(bands, zone, match):
    with pytest.raises(ConfigError, match=match):
        Tariff(bands, zone)


class Told:
    """A provider that says what it is told to."""

    def __init__(self, *answers):
        self.answers, self.spans = list(answers), []

    async def fetch(self, begin, end):
        self.spans.append((begin, end))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self):
        self.real_s = 1e9

    def __call__(self):
        return self.real_s


def hours(*numbers, begin=NOW):
    return values([epoch_s(begin) + 3600 * k for k in range(len(numbers))], numbers, "told")


def cache_of(tmp_path, told, clock, **options):
    return Cache(told, tmp_path / "grid" / "p.json", 900.0, clock=clock, **options)


async def test_a_provider_is_asked_once_in_its_time_and_for_two_days_back(tmp_path):
    told, clock = Told(hours(1, 2), hours(3, begin=NOW + timedelta(hours=2))), Clock()
    cache = cache_of(tmp_path, told, clock, factor=10.0)
    await cache.refresh(NOW)
    clock.real_s += 899
    await cache.refresh(NOW)
    assert len(told.spans) == 1
    clock.real_s += 1
    await cache.refresh(NOW)
    assert cache.known.value == (10, 20, 30)
    begin, end = told.spans[0]
    assert begin <= NOW - timedelta(hours=48)
    assert end >= NOW + timedelta(hours=36)


async def test_a_failure_keeps_what_is_known_and_says_why(tmp_path):
    told, clock = Told(hours(1), Unreachable("provider: gone"), hours(2)), Clock()
    cache = cache_of(tmp_path, told, clock)
    await cache.refresh(NOW)
    clock.real_s += 900
    await cache.refresh(NOW)
    assert (cache.known.value, cache.problem) == ((1,), "provider: gone")
    assert cache.fetched_real_s == 1e9
    clock.real_s += 900
    await cache.refresh(NOW)
    assert (cache.known.value, cache.problem) == ((2,), "")


async def test_a_library_that_raises_anything_ends_nothing(tmp_path):
    cache = cache_of(tmp_path, Told(KeyError("Interval Start")), Clock())
    await cache.refresh(NOW)
    assert cache.problem == "KeyError: 'Interval Start'"


async def test_a_request_that_does_not_end_is_told_and_not_repeated(tmp_path):
    go = threading.Event()

    class Hanging:
        asked = 0

        async def fetch(self, *_):
            self.asked += 1
            return await in_daemon(lambda: go.wait(30) and hours(7))

    told, clock = Hanging(), Clock()
    cache = cache_of(tmp_path, told, clock, patience_real_s=0.01)
    await cache.refresh(NOW)
    clock.real_s += 2000
    await cache.refresh(NOW)
    assert told.asked == 1
    assert cache.problem == "no answer for 2000 s"
    go.set()
    cache.patience_real_s = 10
    await cache.refresh(NOW)
    assert (cache.known.value, cache.problem) == ((7,), "")


async def test_what_was_known_survives_a_restart(tmp_path):
    clock = Clock()
    await cache_of(tmp_path, Told(hours(1, -2)), clock).refresh(NOW)
    again = cache_of(tmp_path, Told(Unreachable("gone")), clock)
    again.load()
    await again.refresh(NOW)
    assert again.known.value == (1, -2)
    assert again.fetched_real_s == 1e9


@pytest.mark.parametrize("text", ["", "{}", '{"at_s": 3}', "[]", '{"at_s": [1], "value": []}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path, text):
    cache = cache_of(tmp_path, Told(), Clock())
    cache.path.parent.mkdir()
    cache.path.write_text(text)
    cache.load()
    assert cache.known.at(epoch_s(NOW)) is None
    assert cache.known == Values() or not cache.known.value


async def test_a_disk_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "grid").write_text("in the way")
    cache = cache_of(tmp_path, Told(hours(5)), Clock())
    await cache.refresh(NOW)
    assert cache.known.value == (5,)
    assert "cannot be written" in cache.problem


def test_tokens_come_from_the_environment_or_a_file_only(tmp_path, monkeypatch):
    monkeypatch.setenv("EM_TOKEN", "secret")
    series = {"id": "c", "provider": "electricity_maps", "quantity": "carbon", "zone": "DE"}
    made = provider(Series(**series, token="env:EM_TOKEN"), tmp_path)
    assert made == ElectricityMaps("DE", "carbon", "secret")
    with pytest.raises(ConfigError, match="is not written here") as caught:
        provider(Series(**series, token="0123456789"), tmp_path)
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"provider": "uk_carbon", "quantity": "price"}, "uk_carbon gives carbon, not price"),
        ({"provider": "entsoe", "quantity": "price", "token": "env:X"}, "give zone"),
        ({"provider": "gridstatus", "quantity": "price", "zone": "CAISO"}, "give location"),
    ],
)
def test_a_series_that_cannot_be_had_is_refused_at_the_start(tmp_path, changes, match):
    with pytest.raises(ConfigError, match=match):
        provider(Series(**{"id": "s"} | changes), tmp_path)
