"""What a rack file must say of its switches, and who is told what it lacks."""

import pytest

from wattcast_agent.config import setup
from wattcast_configs import strict
from wattcast_configs.rack import Rack
from wattcast_core.errors import ConfigError

KINDS = {"raritan_xerus_ts": "ats", "eastron_sdm630": "meter", "rfc1628_ups": "ups"}


def rack(**ats):
    place = {"host": "192.0.2.1", "port": 502}
    meters = [
        {"id": f"in-{side}", "profile": "eastron_sdm630", "ats": "ats", "role": f"source_{side}"}
        for side in "ab"
    ]
    devices = [{"id": "ats", "profile": "raritan_xerus_ts"}, *meters]
    devices.append({"id": "ups-b", "profile": "rfc1628_ups"})
    table = {
        "agent": {"id": "a", "rack": "r", "state_dir": "s", "supplies": ["feed-a"]},
        "device": [place | d for d in devices],
        "server": [{"id": "s1"}],
        "ats": [{"id": "ats", "rating_a": 16.0, "ups_a": "none", "ups_b": "ups-b", **ats}],
    }
    return strict.parse(table, Rack, "rack.toml")


def test_a_switch_has_its_meters_its_ups_and_its_terms():
    made = setup(rack(), KINDS, {"raritan_xerus_ts": "prefer_source"})
    assert made.inputs == {"ats": {"A": "in-a", "B": "in-b"}}
    assert made.upses == {"ats": {"B": "ups-b"}}
    limits = made.switches["ats"]
    assert (limits.supplies, limits.ups_a, limits.lab) == (("feed-a",), "none", False)


def test_any_change_of_terms_shows_in_the_fingerprint():
    prints = {
        setup(changed, KINDS, {"raritan_xerus_ts": writes}).switches["ats"].fingerprint
        for changed, writes in (
            (rack(), "prefer_source"),
            (rack(), "prefer_source at another register"),
            (rack(rating_a=20.0), "prefer_source"),
            (rack(ups_a="ups-b"), "prefer_source"),
        )
    }
    assert len(prints) == 4
    assert setup(rack(), KINDS).switches == setup(rack(), KINDS).switches


def test_a_ups_that_is_no_device_is_named():
    with pytest.raises(ConfigError, match=r"ups_a 'ups-a' is no \[\[device\]\] of this rack"):
        setup(rack(ups_a="ups-a"), KINDS)
