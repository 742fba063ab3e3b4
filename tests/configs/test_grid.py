import pytest

from wattcast_configs.files import load_control
from wattcast_core.errors import ConfigError

CONTROL = """
id = "c1"
site = "site.toml"
state_dir = "state"
"""
GRID = """
[grid]
currency = "EUR"
carbon_price_per_t = 85
[[grid.series]]
id = "spot"
provider = "file"
quantity = "price"
file = "price.csv"
column = "eur_mwh"
unit = "per_mwh"
[[grid.series]]
id = "home"
provider = "tariff"
quantity = "price"
zone = "Europe/Berlin"
band = [{ price_per_kwh = 0.3 }]
[[grid.meter]]
id = "m1"
feeds = ["A", "B"]
price = "spot"
losses = { A = 0.04 }
demand_charge_per_kw = 11.5
[[grid.source]]
id = "pv"
meter = "m1"
kind = "pv"
limit_w = 40000
[[grid.job]]
workload = "batch"
begin = "20:00"
end = "06:00"
run_s = 7200
power_w = 900
"""


def grid(tmp_path, text=GRID):
    path = tmp_path / "coordinator.toml"
    path.write_text(CONTROL + text)
    return load_control(path).grid


def test_a_grid_table_is_read(tmp_path):
    read = grid(tmp_path)
    assert read.meter[0].losses == {"A": 0.04}
    assert read.series[1].band[0].price_per_kwh == 0.3
    assert read.source[0].energy_kwh == float("inf")


def test_without_a_grid_table_there_are_no_meters(tmp_path):
    assert grid(tmp_path, "").meter == ()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('provider = "file"', 'provider = "fax"', "'fax' is not known; known: electricity_maps"),
        ('column = "eur_mwh"', "", "give file, column and unit"),
        ('unit = "per_mwh"', 'unit = "per_barrel"', "unit: 'per_barrel'"),
        ("band = [{ price_per_kwh = 0.3 }]", "", "at least one"),
        ('price = "spot"', 'price = "sport"', "'sport' is no series of quantity price"),
        ("losses = { A = 0.04 }", "losses = { C = 0.04 }", "losses: 'C'"),
        ("losses = { A = 0.04 }", "losses = { A = 4.0 }", "from 0 to 1"),
        ('meter = "m1"', 'meter = "m2"', "'m2' is not known; known: m1"),
        ('kind = "pv"', 'kind = "coal"', "pv, battery, generator"),
        ("run_s = 7200", "run_s = 72000", "must lie in its window of 36000 s"),
        ('begin = "20:00"', 'begin = "8 pm"', "give HH:MM"),
        ('feeds = ["A", "B"]', 'feeds = ["A", "A"]', "A is given twice"),
        ("carbon_price_per_t = 85", "carbon_price_per_t = -1", "at least 0"),
        ("demand_charge_per_kw", "demand_charge_kw", "did you mean 'demand_charge_per_kw'"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(tmp_path, old, new, match):
    assert old in GRID
    with pytest.raises(ConfigError, match=match):
        grid(tmp_path, GRID.replace(old, new, 1))


def test_meters_and_jobs_must_fit_the_site(tmp_path):
    read = grid(tmp_path)
    read.check_site(("A", "B"), ("batch",))
    with pytest.raises(ConfigError, match="feeds: 'B'"):
        read.check_site(("A",), ("batch",))
    with pytest.raises(ConfigError, match="workload: 'batch'"):
        read.check_site(("A", "B"), ())


def test_money_moves_are_one_of_three(tmp_path):
    with pytest.raises(ConfigError, match="off, advise, automatic"):
        grid(tmp_path, '[decision]\nmoney_moves = "yes"\n')
