"""A building system by BACnet/IP, against a device of bacpypes3 on loopback."""

import asyncio
import json
import socket

import pytest
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.binary import BinaryInputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.multistate import MultiStateValueObject
from bacpypes3.pdu import IPv4Address

from wattcast_agent.devices.poller import Poller
from wattcast_configs.files import load_rack
from wattcast_configs.profiles import load_profiles
from wattcast_core.errors import ConfigError, Refused
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s
from wattcast_tools.main import main

pytestmark = pytest.mark.integration
NOW = from_epoch_s(1_700_000_000)
ON_BATTERY, NORMAL = 3, 1

RACK = """\
agent = {{ id = "a", rack = "r", state_dir = "s" }}
server = []
[[device]]
id = "plant"
profile = "bacnet_site"
url = "bacnet://127.0.0.1:{port}{instance}"
[[device.point]]
quantity = "ups.load_pct"
object = "analog-value,12"
minimum = 0
maximum = 200
[[device.point]]
quantity = "ups.on_battery"
object = "multi-state-value,3"
map = {{ 1 = "no", 3 = "yes" }}
alarm = {{ yes = "the UPS runs on battery" }}
[[device.point]]
quantity = "breaker.1.closed"
object = "binary-input,1"
map = {{ active = "yes", inactive = "no" }}
[[device.point]]
quantity = "ups.battery_charge_pct"
object = "analog-value,99"
"""


@pytest.fixture
async def plant():
    """A UPS and a breaker in a building system; gives (port, load, mode, breaker)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    device = DeviceObject(
        objectIdentifier=("device", 1234),
        objectName="plant",
        vendorIdentifier=999,
        vendorName="Contoso",
        modelName="PlantServer",
    )
    app = NormalApplication(device, IPv4Address(f"127.0.0.1/32:{port}"))
    load = AnalogValueObject(
        objectIdentifier=("analog-value", 12), objectName="load", presentValue=42.5
    )
    mode = MultiStateValueObject(
        objectIdentifier=("multi-state-value", 3),
        objectName="mode",
        presentValue=NORMAL,
        numberOfStates=4,
    )
    breaker = BinaryInputObject(
        objectIdentifier=("binary-input", 1), objectName="breaker", presentValue="active"
    )
    for one in (load, mode, breaker):
        app.add_object(one)
    await asyncio.sleep(0.05)
    yield port, load, mode, breaker
    app.close()
    await asyncio.sleep(0.05)


@pytest.fixture
async def poller_of(tmp_path):
    pollers = []

    def _make(port, instance="/1234", text=RACK):
        path = tmp_path / "rack.toml"
        path.write_text(text.format(port=port, instance=instance))
        options = {"budget_real_s": 20.0, "patience_real_s": 20.0}
        pollers.append(Poller(load_rack(path), load_profiles(), lambda: NOW, **options))
        return pollers[-1]

    yield _make
    for poller in pollers:
        await poller.close()


async def state_of(poller):
    return next(d for d in (await poller.poll()).devices if d.device == "plant")


@pytest.mark.parametrize("instance", ["/1234", ""], ids=["instance given", "asked for"])
async def test_objects_named_in_the_rack_file_are_read(plant, poller_of, instance):
    port, _, mode, breaker = plant
    poller = poller_of(port, instance)
    state = await state_of(poller)
    wanted = {"ups.load_pct": 42.5, "ups.on_battery": 0, "breaker.1.closed": 1}
    assert dict(state.readings) == wanted  # analog-value,99 does not exist
    mode.presentValue, breaker.presentValue = ON_BATTERY, "inactive"
    state = await state_of(poller)
    assert (state.readings["ups.on_battery"], state.readings["breaker.1.closed"]) == (1, 0)
    assert state.problem == "the UPS runs on battery"


async def test_a_technician_reads_a_device_of_the_rack_file(plant, poller_of, tmp_path, capsys):
    poller_of(plant[0])
    words = ["tech", "read", "--rack", str(tmp_path / "rack.toml"), "--device"]
    assert await asyncio.to_thread(main, [*words, "plant"]) == 0
    assert "breaker.1.closed  yes" in capsys.readouterr().out
    assert await asyncio.to_thread(main, [*words, "plan"]) == 2
    assert "'plan' is no device of" in capsys.readouterr().err


async def test_a_value_that_its_device_calls_bad_is_invalid(plant, poller_of):
    port, load, mode, _ = plant
    poller = poller_of(port)
    load.outOfService = True
    mode.presentValue = 2  # a state that the rack file gives no word
    state = await state_of(poller)
    assert state.quality is Quality.INVALID
    assert "ups.load_pct" not in state.readings
    assert "ups.on_battery is invalid" in state.problem


async def test_nothing_can_be_written(plant, poller_of):
    poller = poller_of(plant[0])
    await poller.poll()
    with pytest.raises(Refused):
        await poller.prefer("plant", "A")


async def test_a_device_that_is_not_there_is_told(poller_of):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = await state_of(poller_of(port))
    assert state.quality is Quality.MISSING
    assert "nothing listens on this UDP port" in state.problem


async def test_a_device_without_points_names_the_remedy(plant, poller_of, capsys):
    bare = RACK[: RACK.index("[[device.point]]")]
    with pytest.raises(ConfigError, match=r"device plant: .*add \[\[device.point\]\]"):
        poller_of(plant[0], text=bare)
    url = f"bacnet://127.0.0.1:{plant[0]}/1234"
    assert await asyncio.to_thread(main, ["tech", "read", "--url", url]) == 2
    assert "its readings are site data" in capsys.readouterr().err


async def test_a_profile_of_the_sites_own_serves_the_technician(plant, tmp_path, capsys):
    path = tmp_path / "plant.toml"
    path.write_text(
        'vendor = "site"\nmodels = ["plant"]\nkind = "ups"\ncertainty = "B"\nsources = ["site"]\n'
        'protocol = "bacnet"\n[[point]]\nquantity = "ups.load_pct"\nobject = "analog-value,12"\n'
    )
    url = f"bacnet://127.0.0.1:{plant[0]}/1234"
    words = ["tech", "read", "--url", url, "--profile", str(path)]
    assert await asyncio.to_thread(main, words) == 0
    printed = capsys.readouterr().out
    assert "Contoso PlantServer plant at bacnet://127.0.0.1" in printed
    assert "ups.load_pct  42.5" in printed
    assert await asyncio.to_thread(main, [*words, "--json"]) == 0
    point = json.loads(capsys.readouterr().out)["points"]["ups.load_pct"]
    assert (point["value"], point["unit"], point["quality"]) == (42.5, "%", "good")
