"""Profiles of protocols with named values (NUT, Redfish): vectors mean what they say."""

import itertools
import math

import pytest

from wattcast_agent.devices import plan
from wattcast_agent.devices.decode import decode
from wattcast_configs.profiles import load_profiles
from wattcast_core.points import words_of
from wattcast_core.samples import Quality

PROFILES = {n: p for n, p in load_profiles().items() if p.protocol not in ("modbus", "bacnet")}


def resolved(profile, objects):
    """The profile as it is on a device that has these objects."""
    rows = plan.rows_in(profile, objects)
    if profile.protocol == "snmp":
        rows = {column: rows_under(column, objects) for column in plan.columns(profile)}
    return plan.scaled(plan.spread(profile, rows), objects)


def rows_under(column, objects):
    return {o[len(column) + 1 :]: v for o, v in objects.items() if o.startswith(f"{column}.")}


@pytest.mark.parametrize("name", PROFILES)
def test_vectors_decode_as_stated(name):
    profile = PROFILES[name]
    assert profile.vector
    for vector in profile.vector:
        objects = dict(vector.objects)
        got = decode(resolved(profile, objects), objects)
        for quantity, value in vector.values.items():
            assert got[quantity].quality is Quality.GOOD, (vector.note, quantity)
            assert got[quantity].value == pytest.approx(value), (vector.note, quantity)
        for quantity in vector.invalid:
            assert got[quantity].quality is Quality.INVALID, (vector.note, quantity)


@pytest.mark.parametrize("name", PROFILES)
def test_whatever_a_device_lacks_or_shows_no_reading_is_made_up(name):
    profile = PROFILES[name]
    nonsense = (None, -1, 0, 2**31 - 1, "notsupported", "", "nan", "1e999", math.nan, math.inf)
    for vector in profile.vector:
        for key, odd in itertools.product(vector.objects, nonsense):
            objects = {k: odd if k == key else v for k, v in vector.objects.items()}
            objects = {k: v for k, v in objects.items() if v is not None}
            shape = plan.offered(resolved(profile, objects), objects)
            limits = {p.quantity: p for p in shape.point}
            for quantity, reading in decode(shape, objects).items():
                if reading.quality is not Quality.GOOD:
                    assert math.isnan(reading.value), (key, odd, quantity)
                elif quantity in limits and not words_of(quantity):
                    point = limits[quantity]
                    assert point.minimum <= reading.value <= point.maximum, (key, odd, quantity)


@pytest.mark.parametrize("name", [n for n, p in PROFILES.items() if p.protocol == "snmp"])
@pytest.mark.parametrize("ones", [2**31 - 1, 2**32 - 1])
def test_a_register_of_ones_is_no_reading(name, ones):
    shown = [
        (vector.note, quantity)
        for vector in PROFILES[name].vector
        for objects in [dict.fromkeys(vector.objects, ones)]
        for quantity, reading in decode(resolved(PROFILES[name], objects), objects).items()
        if reading.quality is Quality.GOOD
    ]
    assert not shown


def test_the_highest_of_lines_is_told_where_lines_tell_it():
    profile = PROFILES["rfc1628_ups"]
    base = "1.3.6.1.2.1.33.1.4"
    bare = {f"{base}.1.0": 3, f"{base}.4.1.2.1": 230, f"{base}.4.1.2.2": 230}
    for more, wanted in (({}, {}), ({f"{base}.4.1.5.1": 9, f"{base}.4.1.5.2": 20}, {20})):
        objects = bare | more
        got = decode(plan.offered(resolved(profile, objects), objects), objects)
        assert {r.value for n, r in got.items() if n == "ups.load_pct"} == set(wanted)


def test_only_the_preferred_source_can_be_written():
    named = [p for p in PROFILES.values() if p.protocol != "snmp"]
    writes = {(p.name, c.name, c.key) for p in named for c in p.command}
    assert writes == {
        ("nut_ats", "prefer_source", "input.source.preferred"),
        ("redfish_ats", "prefer_source", "TransferConfiguration/PreferredMainsId"),
    }


def test_the_sources_of_a_redfish_switch_are_its_mains_in_order():
    profile = PROFILES["redfish_ats"]
    objects = {"Mains/West/Id": "West", "Mains/East/Id": "East"}
    spread = plan.spread(profile, plan.rows_in(profile, objects))
    (command,) = spread.command
    assert command.values == {"A": "West", "B": "East"}
    active = next(p for p in spread.point if p.quantity == "ats.active_source")
    assert active.map == {"West": "A", "East": "B"}
    unknown = plan.spread(profile, {})
    assert not unknown.command[0].values  # before it was read nothing can be commanded
