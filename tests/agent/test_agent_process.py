"""The agent as a process: real Modbus, real gRPC, real model, killed and started again."""

import asyncio
import signal
import sys
import time
from itertools import pairwise

import pytest
from coordinator_double import CoordinatorDouble
from rack_double import PREFERRED, RackDouble

from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_core.clock import DataClock, Segment
from wattcast_core.commands import AtsCommand, Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SPEED = 600.0  # a step of 300 s is half a real second


class Process:
    """``wattcast agent`` on a rack file."""

    def __init__(self, rack_file):
        self.rack_file = rack_file
        self.child = None

    async def start(self, *words):
        self.child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wattcast_tools.main", "agent", str(self.rack_file), *words),
            stderr=asyncio.subprocess.PIPE,
        )

    async def end(self, number):
        self.child.send_signal(number)
        async with asyncio.timeout(10):
            _, err = await self.child.communicate()
        return self.child.returncode, err.decode()


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
async def agent(tmp_path, rack):
    began = time.time()
    path = tmp_path / "rack.toml"
    segment = f"[clock]\nsegments = [[{began}, 1_700_000_000.0, {SPEED}]]\n"
    path.write_text(rack.toml(step_s=300.0) + segment)
    process = Process(path)
    process.clock = DataClock((Segment(began, 1_700_000_000.0, SPEED),))
    yield process
    if process.child and process.child.returncode is None:
        await process.end(signal.SIGKILL)


def order(number, token, source="B"):
    other = "A" if source == "B" else "B"
    return AtsCommand(f"c{number}", token, time.time() + 10, "ats-1", other, source)


def signatures(coordinator):
    return [s for b in coordinator.batches for s in b.signatures]


async def test_an_agent_reads_reports_obeys_and_survives(agent, coordinator, rack):
    await agent.start("--coordinator", coordinator.address)
    await coordinator.until(lambda: len(signatures(coordinator)) >= 3, 20)
    latest = signatures(coordinator)[-1]
    assert latest.cords_w == (150.0, 130.0)
    assert latest.quality == "good"

    coordinator.command(order(1, token=5))
    await coordinator.until(lambda: len(coordinator.results) == 1)
    assert coordinator.results[0].outcome is Outcome.TRANSFERRED, coordinator.results[0].why
    coordinator.command(order(2, token=4, source="A"))
    await coordinator.until(lambda: len(coordinator.results) == 2)
    assert "fencing token 4 is lower than 5" in coordinator.results[1].why

    assert (await agent.end(signal.SIGKILL))[0] == -signal.SIGKILL
    await coordinator.stop()
    await agent.start("--coordinator", coordinator.address)
    await asyncio.sleep(1.5)  # starts, and reads for a step, without a coordinator
    await coordinator.start()
    count = len(coordinator.batches)
    await coordinator.until(lambda: len(coordinator.batches) > count + 2)
    coordinator.command(order(1, token=5))
    await coordinator.until(lambda: len(coordinator.results) == 3)

    assert coordinator.results[2] == coordinator.results[0]
    assert rack.writes == [(PREFERRED, 2)]
    starts = sorted({s.at.timestamp() for s in signatures(coordinator)})
    outages = [b - a for a, b in pairwise(starts) if b - a > 300]
    assert len(outages) <= 1, "only the time in which no agent ran is missing"
    code, log = await agent.end(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in log


async def test_a_forecast_is_out_soon_after_its_last_reading(agent, coordinator):
    await agent.start("--coordinator", coordinator.address)
    await coordinator.until(lambda: len(signatures(coordinator)) >= 2, 20)
    lags = []
    for _ in range(6):
        count = len(coordinator.batches)
        await coordinator.until(lambda n=count: len(coordinator.batches) > n)
        newest = max(s.at for s in coordinator.batches[-1].samples)
        lags.append(time.time() - agent.clock.real_s(newest))
    assert sorted(lags)[len(lags) // 2] < 0.3, lags


async def test_a_hold_set_at_the_rack_bars_the_coordinator(agent, coordinator, rack):
    await agent.start("--coordinator", coordinator.address)
    await coordinator.until(lambda: len(signatures(coordinator)) >= 2, 20)
    technician = Process(agent.rack_file)
    await technician.start("--hold", "ats-1")
    assert await technician.child.wait() == 0
    coordinator.command(order(1, token=5))
    await coordinator.until(lambda: len(coordinator.results) == 1)
    assert "technician's hold" in coordinator.results[0].why
    assert rack.writes == []
    other = Process(agent.rack_file)
    await other.start("--coordinator", coordinator.address)
    _, err = await other.child.communicate()
    assert other.child.returncode == 3
    assert b"another agent runs on this state" in err


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("step_s", "stepp_s"), 2, "did you mean 'step_s'"),
        (("step_s = 300.0", "step_s = 900.0"), 2, "agent.step_s: 900; give 0 to 300"),
        (("eastron_sdm630", "eastron_sdm640"), 2, "eastron_sdm640"),
        (('role = "source_b"', 'role = ""'), 2, "no meter on input B"),
        (("[clock]", '[model]\npath = "damaged.tflite"\n[clock]'), 1, "damaged.tflite: corrupt"),
    ],
    ids=["unknown key", "step too long", "unknown profile", "no input meter", "damaged model"],
)
async def test_a_wrong_setup_is_one_clear_line(agent, tmp_path, change, code, said):
    agent.rack_file.write_text(agent.rack_file.read_text().replace(*change))
    (tmp_path / "damaged.tflite").write_bytes(BASE_MODEL.read_bytes()[:-1])
    (tmp_path / "damaged.manifest.json").write_bytes(BASE_MANIFEST.read_bytes())
    await agent.start("--coordinator", "127.0.0.1:9")
    _, err = await agent.child.communicate()
    assert (agent.child.returncode, err.decode().count("\n")) == (code, 1)
    assert said in err.decode()
