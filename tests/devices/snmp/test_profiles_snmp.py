"""SNMP profiles: those that ship, and what a wrong one says."""

from dataclasses import replace

import pytest

from wattcast_agent.devices import plan
from wattcast_agent.devices.decode import decode
from wattcast_configs.profile import Point, Repeat
from wattcast_configs.profiles import BUILT_IN, load_profile, load_profiles
from wattcast_core.errors import ConfigError

PROFILES = load_profiles(protocol="snmp")
# Objects a write may reach, from the makers' MIBs: the preferred source of three transfer switches.
WRITABLE = {
    "apc_ats": "1.3.6.1.4.1.318.1.1.8.4.2.0",
    "eaton_ats2": "1.3.6.1.4.1.534.10.2.4.5.0",
    "raritan_pdu2_ts": "1.3.6.1.4.1.13742.6.4.3.1.1.2.1.1",
}


def test_only_the_preferred_source_can_be_written():
    assert {name: c.oid for name, p in PROFILES.items() for c in p.command} == WRITABLE
    for profile in PROFILES.values():
        for command in profile.command:
            assert (command.name, command.idempotent) == ("prefer_source", True)
            assert command.values == {"A": 1, "B": 2}
            assert profile.lab_only == (command.certainty == "C")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_probed_and_no_quantity_comes_twice(name):
    profile = PROFILES[name]
    assert profile.probe
    rows = {column: {"1.1.1": 1, "1.1.2": 2} for column in plan.columns(profile)}
    spread = plan.spread(profile, rows)
    assert not spread.repeat
    assert all("{" not in f"{p.quantity}{p.oid}{p.digits_from}{p.state_from}" for p in spread.point)
    assert set(decode(spread, {})) == {*(p.quantity for p in spread.point), *spread.highest}


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (["1.1", "1.2", "1.4"], ["o.1", "o.2", "o.4"]),
        (["1.1", "1.2", "2.1"], ["o.1", "o.2", "o.3"]),
        ([], []),
    ],
)
def test_parts_are_numbered_as_the_device_does_if_that_is_unique(rows, names):
    part = Repeat("o.{n}", (Point("power_w", 0, 9, oid="1.3.6.8.{i}"),), "1.3.6.9")
    profile = replace(PROFILES["apc_rpdu2"], point=(), repeat=(part,), acts_on=("o.{n}.power_w",))
    spread = plan.spread(profile, {"1.3.6.9": dict.fromkeys(rows, 1)})
    assert [p.quantity for p in spread.point] == [f"{name}.power_w" for name in names]
    assert [p.oid for p in spread.point] == [f"1.3.6.8.{row}" for row in rows]
    assert list(spread.acts_on) == [f"{name}.power_w" for name in names]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('protocol = "snmp"', 'protocol = "snmb"', "did you mean 'snmp'"),
        ('protocol = "snmp"', 'protocol = "modbus"', "key 'function' is missing"),
        ("26.4.3.1.5.{i}", "26.x.{i}", "is no OID; write it as 1.3.6"),
        ('name = "bank.{n}"', 'name = "bank"', "the name needs '{n}'"),
        ("26.8.3.1.5.{i}", "26.8.3.1.5.1", "current_a needs '{i}'"),
        ('oid = "1.3.6.1.4.1.318.1.1.26.4.3.1.5.{i}"', "address = 3", "give address and type"),
        ('unit = "1.3.6.1', 'unit = "1.3.x.1', "inlet.{u}.unit"),
        ('["inlet.{u}.power_w"]', '["outlet.{m}.power_w"]', "did you mean 'outlet.{n}.power_w'"),
        ("26.6.3.1.5", "26.6.3.1..5", "inlet.{u}.L{k}.index"),
    ],
)
def test_a_wrong_profile_names_file_key_and_remedy(tmp_path, old, new, says):
    path = tmp_path / "mine.toml"
    path.write_text((BUILT_IN / "apc_rpdu2.toml").read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
