"""NUT devices: against upsd with dummy-ups, and against a server that misbehaves."""

import asyncio
import importlib.util
import json
from pathlib import Path

import pytest

from wattcast_agent.devices.poller import Poller
from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Agent, Device, Rack
from wattcast_core.errors import Refused, Unreachable
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


nut_server = _sibling("nut_server")
ATS = nut_server.ATS
UPS = {"ups.status": "OB DISCHRG", "ups.load": "42.5", "battery.runtime": "720"}
UPS |= {"battery.charge": "80", "output.voltage": "230.1", "ups.realpower": "425"}


@pytest.fixture(scope="module")
def upsd(tmp_path_factory):
    """Port of a NUT server with a transfer switch and a UPS, both of dummy-ups."""
    with nut_server.serving(tmp_path_factory.mktemp("nut"), {"ats": ATS, "ups": UPS}) as port:
        yield port


async def tech(capsys, port, name, *words):
    url = f"nut://127.0.0.1:{port}/{name}"
    code = await asyncio.to_thread(
        main, ["tech", "read", "--url", url, "--timeout", "60", "--json", *words]
    )
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else None, printed.err


def values(document):
    return {name: point["value"] for name, point in document["points"].items()}


@pytest.fixture
async def poller_of():
    pollers = []

    def _make(port, **more):
        device = Device("ats", "nut_ats", url=f"nut://127.0.0.1:{port}/ats", **more)
        rack = Rack(Agent("agent-1", "r1", "unused"), (device,), ())
        pollers.append(
            Poller(rack, load_profiles(), lambda: NOW, budget_real_s=20.0, patience_real_s=20.0)
        )
        return pollers[-1]

    yield _make
    for poller in pollers:
        await poller.close()


@pytest.mark.apt("/lib/nut/dummy-ups")
async def test_devices_of_a_real_server_are_identified_and_read(upsd, capsys):
    code, document, _ = await tech(capsys, upsd, "ats")
    assert (code, document["profile"]) == (0, "nut_ats")
    got = values(document)
    wanted = {"ats.active_source": "A", "ats.source.B.voltage_v": 229, "device.power_w": 1700}
    wanted |= {"bank.1.power_w": 900, "bank.2.power_w": 800}
    assert {name: got[name] for name in wanted} == wanted
    code, document, _ = await tech(capsys, upsd, "ups")
    assert (code, document["profile"]) == (0, "nut_ups")  # its driver does not tell the type
    got = values(document)
    wanted = {"ups.on_battery": True, "ups.load_pct": 42.5, "ups.battery_runtime_s": 720}
    assert {name: got[name] for name in wanted} == wanted


@pytest.mark.apt("/lib/nut/dummy-ups")
async def test_a_device_that_is_not_there_and_one_of_another_kind(upsd, capsys):
    code, _, problem = await tech(capsys, upsd, "nothing")
    assert (code, "has no device 'nothing'" in problem) == (4, True)
    code, _, problem = await tech(capsys, upsd, "")
    assert (code, f"nut://127.0.0.1:{upsd}/ups" in problem) == (3, True)
    code, _, problem = await tech(capsys, upsd, "ats", "--profile", "nut_pdu")
    assert (code, "device.type shows 'ats', not pdu" in problem) == (3, True)


@pytest.mark.apt("/lib/nut/dummy-ups")
async def test_the_preferred_source_is_set_but_dummy_ups_does_not_move(
    upsd, poller_of, monkeypatch
):
    monkeypatch.setenv("NUT_PASSWORD", "a-secret")
    login = {"user": "watt", "password": "env:NUT_PASSWORD"}
    with pytest.raises(Refused, match="needs TLS with a certificate that is checked"):
        await poller_of(upsd, **login).prefer("ats", "B")
    poller = poller_of(upsd, isolated=True, **login)
    await poller.prefer("ats", "B")
    state = next(d for d in (await poller.poll()).devices if d.device == "ats")
    assert state.readings["ats.preferred_source"] == 2
    assert state.readings["ats.active_source"] == 1
    with pytest.raises((Refused, Unreachable), match=r"ACCESS-DENIED|USERNAME-REQUIRED"):
        await poller_of(upsd, isolated=True).prefer("ats", "A")


@pytest.fixture
async def server():
    """Starts a server that answers each line with what ``answer(line)`` gives."""
    started, writers = [], []

    async def _start(answer):
        async def serve(reader, writer):
            writers.append(writer)
            while line := await reader.readline():
                reply = answer(line.decode().strip())
                if reply is None:
                    break
                writer.write(reply.encode())
            writer.close()

        started.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return started[-1].sockets[0].getsockname()[1]

    yield _start
    for one in (*started, *writers):
        one.close()
    await asyncio.sleep(0.01)  # lets the transports finish closing


def listing(variables):
    rows = "".join(f'VAR ats {name} "{value}"\n' for name, value in variables.items())
    return f"BEGIN LIST VAR ats\n{rows}END LIST VAR ats\n"


async def state_of(poller):
    return next(d for d in (await poller.poll()).devices if d.device == "ats")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("ERR DATA-STALE\n", "check the device, its cable and its driver"),
        ("ERR DRIVER-NOT-CONNECTED\n", "check the device, its cable and its driver"),
        ("ERR ACCESS-DENIED\n", "refuses the login"),
        ("ERR UNKNOWN-COMMAND\n", "its version is too old"),
        ("HTTP/1.1 400 Bad Request\n", "is no NUT server"),
        ('BEGIN LIST VAR ats\nVAR ups a "1"\n', "within a list of VAR ats"),
        ('BEGIN LIST VAR ats\nVAR ats a "1\n', "No closing quotation"),
        (None, "closed the connection"),
    ],
)
async def test_an_answer_that_is_none_is_told(server, poller_of, reply, says):
    poller = poller_of(await server(lambda _: reply))
    state = await state_of(poller)
    assert state.quality is Quality.MISSING
    assert says in state.problem


async def test_a_long_list_with_strange_names_is_read(server, poller_of):
    many = {f"outlet.{n}.desc": f'Gerät \\"{n}\\" mit langem Namen' for n in range(2000)}
    poller = poller_of(await server(lambda _: listing({**many, **ATS})))
    state = await state_of(poller)
    assert (state.quality, state.problem) == (Quality.GOOD, "")
    assert state.readings["bank.2.power_w"] == 800


async def test_half_an_answer_is_not_taken_for_the_next(server, poller_of):
    port = await server(lambda _: 'BEGIN LIST VAR ats\nVAR ats input.source "1"\n')
    poller = poller_of(port)
    poller._units["ats"]._peer._timeout_real_s = 0.2
    state = await state_of(poller)
    assert "no answer within 0.2 s" in state.problem
    assert poller._units["ats"]._peer._streams is None
