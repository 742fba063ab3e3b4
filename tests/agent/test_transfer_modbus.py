"""Transfers by the running agent over Modbus, to a switch that follows and to one that does not."""

import asyncio
import time

import pytest
from ats_bench import Bench, ask
from coordinator_double import CoordinatorDouble
from rack_double import ACTIVE, INPUT_A, INPUT_B, PREFERRED, SWITCH, RackDouble, f32, meter

from wattcast_agent import run
from wattcast_core.commands import Outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PHASE = 0x2008


@pytest.fixture
async def rack():
    double = RackDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def coordinator():
    double = CoordinatorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def bench(tmp_path, coordinator, rack):
    one = await Bench(tmp_path, coordinator, rack.switch(), time.time()).start()
    yield one
    await one.stop()


async def test_over_modbus_it_is_transferred_there_and_back_and_verified(bench, coordinator, rack):
    for number, (to, value) in enumerate((("B", 2), ("A", 1)), 1):
        result = await ask(coordinator, number, to=to)
        assert (result.outcome, result.why) == (Outcome.TRANSFERRED, "")
        assert rack.writes[-1] == (PREFERRED, value)
    assert len(rack.writes) == 2


async def test_over_modbus_a_preference_that_is_not_followed_is_no_transfer(
    bench, coordinator, rack
):
    rack.obeys = False
    result = await ask(coordinator, 1)
    assert result.outcome is Outcome.PREFERENCE_SET_NOT_MOVED, result.why
    assert "active source is still A" in result.why
    assert "locked out" in (await ask(coordinator, 2)).why
    assert rack.writes == [(PREFERRED, 2)]


REFUSALS = [
    (SWITCH, {PHASE: f32(40.0)}, "phase angle 40 deg, limit 20"),
    (SWITCH, {PHASE: [0x7FC0, 0]}, "ats.phase_angle_deg is invalid"),
    (SWITCH, {ACTIVE: [3]}, "ats.active_source is invalid"),
    (SWITCH, {ACTIVE: [0]}, "active source is none, expected A"),
    (INPUT_B, meter(0.0, 190.0), "source B is out of its window (190 V"),
    (INPUT_B, meter(0.0, 0.0), "source B is out of its window (0 V"),
    (INPUT_A, meter(17 * 230.0), "output carries 17.0 A, rating 16.0 A"),
    (SWITCH, {PREFERRED: [2]}, "locked out: its preferred source was changed from A to B"),
]


async def test_over_modbus_each_interlock_refuses_with_its_reason(bench, coordinator, rack):
    for number, (unit, change, why) in enumerate(REFUSALS, 1):
        good = {SWITCH: {ACTIVE: [1], PREFERRED: [1], PHASE: f32(2.0)}}  # and no meter stands still
        good |= {INPUT_A: meter(400.0 + number), INPUT_B: meter(0.0, 230.0 + number / 10)}
        for each, registers in (good | {unit: good[unit] | change}).items():
            await rack.put(each, registers)
        await asyncio.sleep(0.45)
        result = await ask(coordinator, number, lasts_s=1.5)
        assert result.outcome is Outcome.REFUSED
        assert why in result.why
        await rack.put(unit, good[unit])
        await asyncio.sleep(0.45)
    run.hold(bench.path, "ats-1", release=True)
    await rack.stand(2)
    await asyncio.sleep(0.45)
    assert "locked out: moved by itself from A to B" in (await ask(coordinator, 50, to="A")).why
    assert rack.writes == []
