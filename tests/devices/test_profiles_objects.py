"""Profiles of protocols with named values (NUT, Redfish): vectors mean what they say."""

import pytest

from wattcast_agent.devices import plan
from wattcast_agent.devices.decode import decode
from wattcast_configs.profiles import load_profiles
from wattcast_core.samples import Quality

PROFILES = {name: p for name, p in load_profiles().items() if p.protocol not in ("modbus", "snmp")}


@pytest.mark.parametrize("name", PROFILES)
def test_vectors_decode_as_stated(name):
    profile = PROFILES[name]
    assert profile.vector
    for vector in profile.vector:
        objects = dict(vector.objects)
        spread = plan.spread(profile, plan.rows_in(profile, objects))
        got = decode(spread, objects)
        for quantity, value in vector.values.items():
            assert got[quantity].quality is Quality.GOOD, (vector.note, quantity)
            assert got[quantity].value == pytest.approx(value), (vector.note, quantity)
        for quantity in vector.invalid:
            assert got[quantity].quality is Quality.INVALID, (vector.note, quantity)


def test_only_the_preferred_source_can_be_written():
    writes = {(p.name, c.name, c.key) for p in PROFILES.values() for c in p.command}
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
