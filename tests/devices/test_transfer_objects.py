"""Transfers by the running agent: over Redfish, where the switch follows, and over NUT's dummy."""

import asyncio
import copy
import importlib.util
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "agent"))  # the doubles of the agent's tests
from ats_bench import Bench, Meters, ask
from coordinator_double import CoordinatorDouble

from wattcast_agent import run
from wattcast_core.commands import Outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _sibling(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


double, nut_server = _sibling("redfish_double"), _sibling("nut_server")
OUT_OF_PHASE_TOO = {"phase_max_deg": 180.0}  # neither protocol says whether sources are in phase


@pytest.fixture
async def coordinator():
    it = CoordinatorDouble()
    await it.start()
    yield it
    await it.stop()


@pytest.fixture
async def bench(tmp_path, coordinator):
    """Starts an agent with a switch and its meters."""
    made = []

    async def _start(switch, active, **ats):
        meters = Meters(active)
        await meters.start()
        made.append(meters)
        text = f'[[device]]\nid = "ats-1"\nlab = true\n{switch}\n{meters.devices()}'
        one = Bench(tmp_path, coordinator, text, time.time(), **(OUT_OF_PHASE_TOO | ats))
        made.append(await one.start())
        return one, meters

    yield _start
    for one in reversed(made):
        await one.stop()


class Redfish:
    """A transfer switch behind the double of a Redfish service."""

    def __init__(self):
        self.service = double.Service(double.transfer_switch())
        self.own = self.service.resources[double.ATS]
        self.mains = [self.service.resources[f"{double.ATS}/Mains/{row}"] for row in "12"]
        url = f"redfish://127.0.0.1:{self.service.port}{double.ATS}"
        self.device = f'profile = "redfish_ats"\nurl = "{url}"\nisolated = true'

    def active(self):
        return 1 if self.own["TransferConfiguration"]["ActiveMainsId"] == "Utility1" else 2

    def preferred(self):
        return [w["TransferConfiguration"]["PreferredMainsId"] for w in self.service.writes]


@pytest.fixture
def redfish():
    it = Redfish()
    yield it
    it.service.stop()


async def test_over_redfish_it_is_transferred_and_verified(bench, coordinator, redfish):
    await bench(redfish.device, redfish.active)
    result = await ask(coordinator, 1)
    assert (result.outcome, result.why) == (Outcome.TRANSFERRED, "")
    back = await ask(coordinator, 2, to="A")
    assert back.outcome is Outcome.TRANSFERRED, back.why
    assert redfish.preferred() == ["Generator", "Utility1"]
    assert not any("TransferControl" in path for _, path in redfish.service.requests)


async def test_over_redfish_a_preference_that_is_not_followed_is_no_transfer(
    bench, coordinator, redfish
):
    redfish.service.follows = False
    await bench(redfish.device, redfish.active)
    result = await ask(coordinator, 1)
    assert result.outcome is Outcome.PREFERENCE_SET_NOT_MOVED, result.why
    assert "locked out" in (await ask(coordinator, 2)).why
    assert redfish.preferred() == ["Generator"]


def _set(node, key, value):
    node[key] = value


CASES = [
    (
        lambda r: _set(r.mains[1], "Status", {"State": "Disabled", "Health": "OK"}),
        "source B is not available",
    ),
    (
        lambda r: _set(r.mains[1], "Status", {"State": "Enabled", "Health": "Critical"}),
        "ats.source.B.healthy is 'no', not 'yes'",
    ),
    (
        lambda r: _set(r.own["TransferConfiguration"], "TransferInhibit", value=True),
        "transfers are inhibited",
    ),
    (
        lambda r: _set(r.own["TransferConfiguration"], "AutoTransferEnabled", value=False),
        "it is not in automatic mode",
    ),
    (lambda r: _set(r.own, "Status", {"Health": "Critical"}), "its hardware failed"),
    (
        lambda r: _set(r.own, "MainsRedundancy", {"Status": {"Health": "Critical"}}),
        "redundancy is lost",
    ),
    (lambda r: _set(r.mains[1], "Status", {}), "ats.source.B.available is missing"),
    (
        lambda r: _set(r.own["TransferConfiguration"], "ActiveMainsId", "Moon"),
        "ats.active_source is invalid",
    ),
]


async def test_over_redfish_each_interlock_refuses_with_its_reason(bench, coordinator, redfish):
    await bench(redfish.device, redfish.active)
    good = copy.deepcopy(redfish.service.resources)
    for number, (change, why) in enumerate(CASES, 1):
        change(redfish)
        await asyncio.sleep(0.6)
        result = await ask(coordinator, number, lasts_s=2.0)
        assert result.outcome is Outcome.REFUSED
        assert why in result.why
        for uri, body in copy.deepcopy(good).items():
            redfish.service.resources[uri].clear()
            redfish.service.resources[uri].update(body)
        await asyncio.sleep(0.4)
    assert not redfish.service.writes


async def test_over_redfish_what_the_rack_file_and_the_meters_say_is_kept(
    bench, coordinator, redfish
):
    one, meters = await bench(redfish.device, redfish.active, phase_max_deg=20.0)
    why = (await ask(coordinator, 1)).why
    assert why == "nothing tells whether the sources are in phase"
    meters.volts[2] = 190.0
    await asyncio.sleep(0.8)
    assert "source B is out of its window (190 V" in (await ask(coordinator, 2)).why
    meters.volts[2], meters.load_w = 230.0, 17 * 230.0
    run.hold(one.path, "ats-1", release=False)
    await asyncio.sleep(0.8)
    assert "technician's hold" in (await ask(coordinator, 3)).why
    assert not redfish.service.writes


@pytest.mark.apt("/lib/nut/dummy-ups")
async def test_over_nut_the_preference_is_set_and_the_dummy_does_not_move(
    bench, coordinator, tmp_path, monkeypatch
):
    monkeypatch.setenv("NUT_PASSWORD", nut_server.PASSWORD)
    folder = tmp_path / "nut"
    folder.mkdir()
    with nut_server.serving(folder, {"ats": nut_server.ATS}) as port:
        url = f"nut://127.0.0.1:{port}/ats"
        device = f'profile = "nut_ats"\nurl = "{url}"\nisolated = true\nuser = "watt"\n'
        one, meters = await bench(f'{device}password = "env:NUT_PASSWORD"', lambda: 1)
        meters.volts[2] = 190.0
        await asyncio.sleep(0.8)
        assert "source B is out of its window (190 V" in (await ask(coordinator, 1)).why
        meters.volts[2], meters.load_w = 230.0, 17 * 230.0
        await asyncio.sleep(0.8)
        assert "output carries 17.0 A, rating 16.0 A" in (await ask(coordinator, 2)).why
        meters.load_w = 400.0
        nut_server.put(port, "ats", input__source__preferred="2")
        await asyncio.sleep(0.8)
        result = await ask(coordinator, 3)
        assert "its preferred source was changed from A to B" in result.why
        nut_server.put(port, "ats", input__source__preferred="1")
        await asyncio.sleep(0.8)
        run.hold(one.path, "ats-1", release=True)
        await asyncio.sleep(0.8)
        result = await ask(coordinator, 4)
        assert result.outcome is Outcome.PREFERENCE_SET_NOT_MOVED, result.why
        assert "active source is still A" in result.why
