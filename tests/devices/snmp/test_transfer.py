"""Transfers over SNMP: a real agent, a switch that follows, and snmpsim, which does not."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "agent"))  # the doubles of the agent's tests
from ap44xx import IDENTITY, PREFERRED, Ap44xx, quick_profile, status
from ats_bench import Bench, ask
from coordinator_double import CoordinatorDouble

from wattcast_agent import run
from wattcast_core.commands import Outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
async def coordinator():
    double = CoordinatorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def switch(monkeypatch):
    monkeypatch.setenv("COMMUNITY", "public")
    double = await Ap44xx().start()
    yield double
    await double.stop()


@pytest.fixture
async def bench(tmp_path, coordinator, switch):
    made = []

    async def _start(devices=None, **ats):
        devices = devices or switch.devices(lab=True)
        (tmp_path / "quick_ats.toml").write_text(quick_profile())
        made.append(Bench(tmp_path, coordinator, devices, time.time(), **ats))
        return await made[-1].start()

    yield _start
    for one in made:
        await one.stop()


async def test_a_switch_that_follows_is_transferred_and_verified(bench, coordinator, switch):
    await bench()
    result = await ask(coordinator, 1)
    assert (result.outcome, result.why) == (Outcome.TRANSFERRED, "")
    assert switch.writes == [2]
    back = await ask(coordinator, 2, to="A")
    assert back.outcome is Outcome.TRANSFERRED, back.why
    assert switch.writes == [2, 1]


async def test_a_switch_that_goes_back_by_itself_is_told(bench, coordinator, switch):
    switch.returns_s = 0.6
    await bench()
    result = await ask(coordinator, 1)
    assert result.outcome is Outcome.MOVED_THEN_RETURNED, result.why
    assert "locked out" in (await ask(coordinator, 2)).why
    assert switch.writes == [2], "never fought"


async def test_snmpsims_write_cache_has_its_preference_set_and_does_not_move(
    bench, coordinator, switch, sim, monkeypatch
):
    monkeypatch.setenv("WRITECACHE", "ats")
    await bench(switch.devices(lab=True, port=sim, community="WRITECACHE"))
    result = await ask(coordinator, 1)
    assert result.outcome is Outcome.PREFERENCE_SET_NOT_MOVED, result.why
    assert "active source is still A" in result.why


REFUSALS = [
    ({status(13): 1}, "source B is not available"),
    ({status(14): 2}, "the sources are not in phase"),
    ({status(4): 1}, "overcurrent"),
    ({status(3): 1}, "redundancy is lost"),
    ({status(1): 1}, "no contact to the switch"),
    ({status(7): 1}, "24 V supply B failed"),
    ({status(10): 1}, "its switch failed"),
    ({status(16): 1}, "its hardware failed"),
    ({status(2): 2}, "locked out: moved by itself from A to B"),
    ({PREFERRED: 2}, "locked out: its preferred source was changed from A to B"),
]


async def test_each_interlock_refuses_with_its_reason(bench, coordinator, switch):
    one = await bench()
    good = dict(switch.objects)
    for number, (change, why) in enumerate(REFUSALS, 1):
        switch.objects.update(good | change)
        await asyncio.sleep(0.45)
        result = await ask(coordinator, number, lasts_s=3.0)
        assert result.outcome is Outcome.REFUSED
        assert why in result.why
        if "locked out" in result.why:
            switch.objects.update(good)
            await asyncio.sleep(0.45)
            run.hold(one.path, "ats-1", release=True)
            await asyncio.sleep(0.45)
    switch.objects.update(good)
    switch.meters.volts[2] = 190.0
    await asyncio.sleep(0.5)
    assert "source B is out of its window (190 V" in (await ask(coordinator, 50)).why
    switch.meters.volts[2], switch.meters.load_w = 230.0, 17 * 230.0
    await asyncio.sleep(0.5)
    assert "output carries 17.0 A, rating 16.0 A" in (await ask(coordinator, 51)).why
    assert switch.writes == []


async def test_a_switch_is_commissioned_at_the_rack_then_commanded(bench, coordinator, switch):
    one = await bench(switch.devices())
    assert "not commissioned" in (await ask(coordinator, 1)).why
    told = []
    await asyncio.to_thread(run.commission, one.path, "ats-1", "J. Doe", told.append)
    assert [line.partition(": ")[2] for line in told][:2] == [
        "leg 1 of 2: from A to B",
        "leg 2 of 2: from B to A",
    ]
    assert "witnessed by J. Doe" in told[-1]
    assert switch.writes == [2, 1]
    assert (await ask(coordinator, 2)).outcome is Outcome.TRANSFERRED
    switch.objects["1.3.6.1.2.1.1.1.0"] = IDENTITY.replace("6.9.6", "7.0.0")
    switch.agent.fault = "silence"  # a new firmware is not loaded without a restart
    await asyncio.sleep(4.0)
    switch.agent.fault = ""
    result = await ask(coordinator, 3, to="A", lasts_s=15.0)
    assert "commissioned was" in result.why
    assert switch.writes == [2, 1, 2]
