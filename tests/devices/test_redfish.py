"""Redfish devices against a stateful service: read, logged in and out, and never toggled."""

import asyncio
import importlib.util
import json
import ssl
from pathlib import Path

import pytest

from wattcast_agent.devices.poller import Poller
from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Agent, Device, Rack, Tls
from wattcast_core.errors import DataError, Refused
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s
from wattcast_tools.main import main

pytestmark = pytest.mark.integration
NOW = from_epoch_s(1_700_000_000)


def _sibling(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


double, certificates = _sibling("redfish_double"), _sibling("certificates")


@pytest.fixture
def serve():
    """Starts a service and stops it after the test."""
    services = []

    def _serve(equipment, **options):
        services.append(double.Service(equipment, **options))
        return services[-1]

    yield _serve
    for service in services:
        service.stop()


@pytest.fixture
async def poller_of():
    pollers = []

    def _make(*devices):
        rack = Rack(Agent("agent-1", "r1", "unused"), devices, ())
        pollers.append(
            Poller(rack, load_profiles(), lambda: NOW, budget_real_s=20.0, patience_real_s=20.0)
        )
        return pollers[-1]

    yield _make
    for poller in pollers:
        await poller.close()


async def tech(service, capsys, *words, path="", environment=None):
    url = f"redfish://{'watt@' if environment else ''}127.0.0.1:{service.port}{path}"
    code = await asyncio.to_thread(
        main, ["tech", "read", "--url", url, "--timeout", "60", "--json", *words]
    )
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else None, printed.err


def values(document):
    return {name: point["value"] for name, point in document["points"].items()}


@pytest.mark.parametrize("expands", [False, True], ids=["one by one", "expanded"])
async def test_a_rack_pdu_is_found_and_read(serve, capsys, expands):
    service = serve(double.rack_pdu(outlets=12), expands=expands)
    code, document, _ = await tech(service, capsys)
    assert (code, document["profile"]) == (0, "redfish_pdu")
    assert document["device"].startswith("Contoso ZAP4000 RackPDU at redfish://127.0.0.1")
    got = values(document)
    assert [got[f"outlet.A{n}.power_w"] for n in range(1, 13)] == [10 * n for n in range(1, 13)]
    wanted = {"device.power_w": 6438, "device.energy_wh": 56_438_000, "env.1.temperature_c": 26.3}
    wanted |= {"inlet.1.power_w": 937.4, "inlet.1.L1.current_a": 5.19, "bank.A.power_w": 937.4}
    wanted |= {"inlet.1.L1_L2.voltage_v": 203.5, "outlet.A1.state": "on"}
    assert {name: got[name] for name in wanted} == wanted
    fetched = [path for method, path in service.requests if "/Outlets/" in path]
    assert len(fetched) == (0 if expands else 12)


async def test_a_transfer_switch_is_read_and_its_mains_are_a_and_b(serve, capsys):
    code, document, _ = await tech(serve(double.transfer_switch()), capsys)
    assert (code, document["profile"]) == (0, "redfish_ats")
    got = values(document)
    wanted = {"ats.active_source": "A", "ats.preferred_source": "A", "ats.inhibited": False}
    wanted |= {"ats.source.A.available": True, "ats.source.B.voltage_v": 229.0}
    assert {name: got[name] for name in wanted} == wanted
    assert document["points"]["ats.redundant"]["quality"] == "missing"


async def test_several_devices_are_told_by_their_addresses(serve, capsys):
    service = serve(double.rack_pdu(2) | double.transfer_switch())
    code, _, problem = await tech(service, capsys)
    assert code == 3
    assert f"127.0.0.1:{service.port}{double.PDU}" in problem
    code, document, _ = await tech(service, capsys, path=double.ATS)
    assert (code, document["profile"]) == (0, "redfish_ats")


async def test_a_profile_of_another_kind_is_refused_by_name(serve, capsys):
    code, _, problem = await tech(serve(double.rack_pdu(2)), capsys, "--profile", "redfish_ats")
    assert code == 3
    assert "EquipmentType shows 'RackPDU', not AutomaticTransferSwitch" in problem
    assert "Contoso ZAP4000" in problem


async def test_a_session_is_opened_and_ended(serve, capsys, monkeypatch):
    service = serve(double.rack_pdu(2), anonymous=False)
    monkeypatch.setenv("WATTCAST_PASSWORD", double.PASSWORD)
    code, _, _ = await tech(service, capsys, environment=True)
    assert code == 0
    assert ("POST", "/redfish/v1/SessionService/Sessions") in service.requests
    assert not service.open_sessions


async def test_a_wrong_or_missing_login_is_told(serve, capsys, monkeypatch):
    service = serve(double.rack_pdu(2), anonymous=False)
    code, _, problem = await tech(service, capsys)
    assert code == 3
    assert "(401); give a user" in problem
    monkeypatch.setenv("WATTCAST_PASSWORD", "wrong")
    code, _, problem = await tech(service, capsys, environment=True)
    assert code == 3
    assert "refuses the login of 'watt'" in problem


async def test_a_session_that_ended_is_opened_anew(serve, poller_of, monkeypatch):
    monkeypatch.setenv("PDU_PASSWORD", double.PASSWORD)
    service = serve(double.rack_pdu(2), anonymous=False)
    url = f"redfish://127.0.0.1:{service.port}{double.PDU}"
    device = Device("pdu", "redfish_pdu", url=url, user="watt", password="env:PDU_PASSWORD")
    poller = poller_of(device)
    for _ in range(2):
        poll = await poller.poll()
        state = next(d for d in poll.devices if d.device == "pdu")
        assert (state.quality, state.problem) == (Quality.GOOD, "")
        service.open_sessions.clear()


@pytest.fixture
def switch_of(poller_of):
    """A poller of the service's transfer switch, read once."""

    async def _switch(service, **more):
        url = f"redfish://127.0.0.1:{service.port}{double.ATS}"
        device = Device("ats", "redfish_ats", url=url, **({"lab": True, "isolated": True} | more))
        poller = poller_of(device)
        await poller.poll()
        return poller

    return _switch


def reading(poll, name):
    return next(d for d in poll.devices if d.device == "ats").readings[name]


async def test_preferring_a_source_moves_the_switch(serve, switch_of):
    service = serve(double.transfer_switch())
    poller = await switch_of(service)
    await poller.prefer("ats", "B")
    assert service.writes == [{"TransferConfiguration": {"PreferredMainsId": "Generator"}}]
    active = service.resources[double.ATS]["TransferConfiguration"]
    assert double.wait_for(lambda: active["ActiveMainsId"] == "Generator")
    poll = await poller.poll()
    assert (reading(poll, "ats.preferred_source"), reading(poll, "ats.active_source")) == (2, 2)
    assert not any("TransferControl" in path for _, path in service.requests)  # never a toggle


async def test_a_preference_that_is_set_but_not_followed_shows_as_such(serve, switch_of):
    service = serve(double.transfer_switch())
    service.follows = False
    poller = await switch_of(service)
    await poller.prefer("ats", "B")
    poll = await poller.poll()
    assert (reading(poll, "ats.preferred_source"), reading(poll, "ats.active_source")) == (2, 1)


async def test_what_another_changed_meanwhile_is_not_overwritten(serve, switch_of):
    service = serve(double.transfer_switch())
    poller = await switch_of(service)
    service.meddles = True
    with pytest.raises(Refused, match="somebody else has changed it"):
        await poller.prefer("ats", "B")
    assert not service.writes


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Status": {"State": "UnavailableOffline"}}, "available is 'no', not 'yes'"),
        ({"Status": {}}, "ats.source.B.available is missing"),
        (None, "does not offer ats.source.B.available"),
    ],
)
async def test_a_source_that_is_not_available_is_not_preferred(serve, switch_of, change, why):
    service = serve(double.transfer_switch())
    for row in "2" if change else "12":
        service.resources[f"{double.ATS}/Mains/{row}"] |= change or {"Status": {}}
    poller = await switch_of(service)
    with pytest.raises(Refused, match=why):
        await poller.prefer("ats", "B")
    assert not service.writes


async def test_writing_needs_the_lab_and_a_segment_or_a_certificate(serve, switch_of, tmp_path):
    service = serve(double.transfer_switch())
    with pytest.raises(Refused, match="needs TLS with a certificate that is checked"):
        await (await switch_of(service, isolated=False)).prefer("ats", "B")
    with pytest.raises(Refused, match="never proven on hardware"):
        await (await switch_of(service, lab=False)).prefer("ats", "B")
    authority = certificates.Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("service"))
    encrypted = serve(double.transfer_switch(), context=context)
    poller = await switch_of(encrypted, isolated=False, tls=Tls(ca=authority.ca))
    await poller.prefer("ats", "B")
    assert len(encrypted.writes) == 1


async def test_what_is_no_redfish_service_is_told(serve, poller_of, capsys):
    service = serve({})
    service.resources["/redfish/v1/"] = {"hello": "world"}
    code, _, problem = await tech(service, capsys, path="/somewhere")
    assert code == 1
    assert "answered 404" in problem
    assert issubclass(DataError, Exception)
