"""Which reading of which device is the power of which server's cord."""

import pytest

from wattcast_agent.config import setup
from wattcast_configs.rack import Agent, Device, Host, Rack
from wattcast_core.errors import ConfigError


def layout_of(*devices):
    rack = Rack(Agent("a", "r1", "unused"), devices, (Host("web-1"), Host("web-2")))
    return setup(rack, {"eastron_sdm630": "meter", "apc_rpdu2": "pdu"}).layout


def pdu(**cords):
    names = {name.replace("_", "."): target for name, target in cords.items()}
    return Device("pdu", "apc_rpdu2", "127.0.0.1", 161, cords=names)


def test_a_cord_is_a_meter_of_its_own_or_an_outlet_of_a_rack_pdu():
    meter = Device("m", "eastron_sdm630", "127.0.0.1", 502, server="web-1", cord=0)
    layout = layout_of(meter, pdu(outlet_7="web-1/1", outlet_8="web-2/0"))
    assert layout.cords == {
        ("m", "inlet.1.power_w"): ("web-1", 0),
        ("pdu", "outlet.7.power_w"): ("web-1", 1),
        ("pdu", "outlet.8.power_w"): ("web-2", 0),
    }
    assert layout.silent == {"web-1", "web-2", "m"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("web-1", "give 'server/cord'"),
        ("web-1/x", "give 'server/cord'"),
        ("web-9/0", "server 'web-9' has no cord 0"),
        ("web-1/2", "server 'web-1' has no cord 2"),
    ],
)
def test_a_wrong_cord_names_the_device_and_the_remedy(target, says):
    with pytest.raises(ConfigError, match=says) as caught:
        layout_of(pdu(outlet_7=target))
    assert "device pdu" in str(caught.value)


def test_a_cord_has_one_meter():
    with pytest.raises(ConfigError, match="already has a meter"):
        layout_of(pdu(outlet_7="web-1/0", outlet_8="web-1/0"))
