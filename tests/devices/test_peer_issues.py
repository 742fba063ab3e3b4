"""What went wrong in other collectors must not go wrong here: one test an issue."""

import asyncio
import gc
import logging
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wattcast_agent.devices.compose import Answer
from wattcast_agent.devices.poller import Poller
from wattcast_agent.devices.worker import Worker
from wattcast_core.samples import Quality
from wattcast_tools.faults import modbus, snmp

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WATTS = 280.0


@pytest.fixture
async def device(bench):
    """Starts a faulty Modbus device with the registers of an SDM630."""
    started = []

    async def _device(fault="", **change):
        held = {a + i: w for a, words in bench.sdm630(WATTS).items() for i, w in enumerate(words)}
        started.append(await modbus.Device(lambda: held, fault, hole=0x3E, **change).start())
        return started[-1]

    yield _device
    for one in started:
        await one.stop()


@pytest.fixture
async def poller_of(bench, profiles):
    made = []

    def _make(*peers, transport=None):
        found = profiles
        if transport:
            meter = profiles["eastron_sdm630"]
            changed = replace(meter, transport=replace(meter.transport, **transport))
            found = {**profiles, "eastron_sdm630": changed}
        entries = [
            bench.Device(f"m{n}", "eastron_sdm630", "127.0.0.1", peer.port)
            for n, peer in enumerate(peers)
        ]
        made.append(Poller(bench.rack_of(*entries), found, lambda: NOW))
        return made[-1]

    yield _make
    for poller in made:
        await poller.close()


def state(poll, name):
    return next(d for d in poll.devices if d.device == name)


def powers(poll, name):
    return [s for s in poll.samples if (s.source, s.quantity) == (name, "inlet.1.power_w")]


async def test_telegraf_14317_a_transaction_out_of_step_recovers_without_a_restart(
    device, poller_of
):
    peer = await device("late_transaction")
    poller, good, values = poller_of(peer), [], set()
    began = time.monotonic()
    while all(good) or (good[-2:] != [True, True] and time.monotonic() - began < 6):
        poll = await poller.poll()
        good.append(state(poll, "m0").quality is Quality.GOOD)
        values |= {s.value for s in powers(poll, "m0") if s.usable}
        await asyncio.sleep(0.1)
    assert not all(good), "the device falls out of step"
    assert sum(good[good.index(False) :]) >= 2, "and is read again"
    assert values == {WATTS}
    assert poller.health()["resyncs_total"] >= 1
    assert peer.connections > 1


async def test_telegraf_11782_a_dead_unit_costs_only_its_own_data(start, bench, profiles):
    box = await start(bench.Box({u: bench.sdm630(90) for u in range(1, 6)}))
    box.faults[3] = "silent"
    entries = [bench.Device(f"m{u}", "eastron_sdm630", "127.0.0.1", box.port, u) for u in box.units]
    poller = Poller(bench.rack_of(*entries), profiles, lambda: NOW)
    for _ in range(3):
        poll = await poller.poll()
        alive = {d.device for d in poll.devices if d.quality is Quality.GOOD and d.kind == "meter"}
        assert alive == {"m1", "m2", "m4", "m5"}
    await poller.close()


async def test_telegraf_8225_the_only_connection_is_released_after_use(device, poller_of):
    peer = await device("one_client")
    poller = poller_of(peer, transport={"single_client": True})
    for sweep in range(1, 4):
        assert state(await poller.poll(), "m0").quality is Quality.GOOD
        reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
        writer.write(bytes.fromhex("000100000006010400340002"))  # another system reads, too
        assert (await asyncio.wait_for(reader.read(64), 1))[7] == 4, sweep
        writer.close()
        await writer.wait_closed()


async def test_telegraf_14671_an_illegal_address_costs_one_point(device, poller_of):
    peer = await device("illegal_address")
    poll = await poller_of(peer).poll()
    bad = {s.quantity for s in poll.samples if s.source == "m0" and not s.usable}
    assert len(bad) == 1
    assert next(iter(bad)).endswith("power_factor")
    assert "0x003e" in state(poll, "m0").problem


async def test_telegraf_11919_the_request_lost_while_waking_up_is_sent_again(device, poller_of):
    peer = await device("wake_up")
    poller = poller_of(peer, transport={"wake_real_s": modbus.WAKE_REAL_S})
    began = time.monotonic()
    qualities = []
    while time.monotonic() - began < 4 and Quality.GOOD not in qualities:
        qualities.append(state(await poller.poll(), "m0").quality)
        await asyncio.sleep(0.05)
    assert qualities[-1] is Quality.GOOD
    problems = {Quality.MISSING, Quality.GOOD}
    assert set(qualities) == problems, "not read yet, then read: never called unreachable"


async def test_snmp_exporter_541_349_named_objects_are_asked_for_and_nothing_is_walked(
    bench, monkeypatch
):
    from wattcast_configs.point import Point
    from wattcast_configs.profile import Profile
    from wattcast_configs.rack import Snmp

    monkeypatch.setenv("COMMUNITY", "public")
    oid = "1.3.6.1.4.1.99999.1.{}.0"
    held = {oid.format(n): n for n in range(1, 61)}
    points = [Point(f"outlet.{n}.power_w", 0, 1e6, oid=oid.format(n)) for n in range(1, 51)]
    profile = Profile("Wattcast", ("x",), "pdu", "A", ("x",), point=tuple(points), protocol="snmp")
    peer = await snmp.Agent(lambda: held).start()
    login = Snmp(community="env:COMMUNITY")
    entry = bench.Device("pdu", "x", "127.0.0.1", peer.port, snmp=login)
    patient = {"budget_real_s": 20.0, "patience_real_s": 20.0}  # a loaded machine takes its time
    poller = Poller(bench.rack_of(entry), {"x": profile}, lambda: NOW, **patient)
    await poller.poll()
    before = len(peer.asked)
    poll = await poller.poll()
    assert len(peer.asked) - before == 3, "50 objects in requests of 24"
    assert peer.walks == 0
    values = {s.quantity: s.value for s in poll.samples if s.source == "pdu"}
    assert values == {f"outlet.{n}.power_w": n for n in range(1, 51)}
    await poller.close()
    await peer.stop()


@pytest.mark.slow
async def test_home_assistant_127275_fourteen_meters_for_ever_take_no_more_memory(
    device, poller_of
):
    peers = [await device("stray" if n % 3 == 0 else "") for n in range(14)]
    poller = poller_of(*peers)

    async def beats(count):
        for _ in range(count):
            await poller.poll()
        gc.collect()
        for peer in peers:
            peer.asked.clear()
        return tracemalloc.get_traced_memory()[0]

    logging.disable(logging.CRITICAL)  # pytest keeps what is logged
    tracemalloc.start()
    try:
        begin, end = await beats(12), await beats(40)
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    assert (end - begin) / 40 < 1000, "bytes a beat of 14 meters"


async def test_home_assistant_74584_a_meter_that_stops_in_silence_is_told(device, poller_of):
    peer = await device()
    poller = poller_of(peer)
    assert state(await poller.poll(), "m0").quality is Quality.GOOD
    peer.fault = "silence"
    for writer in tuple(peer._open):
        writer.close()
    poll = await poller.poll()
    assert state(poll, "m0").quality is Quality.MISSING
    assert state(poll, "m0").problem
    assert [s.quality for s in powers(poll, "m0")] == [Quality.MISSING]


class Odd:
    """A member that does what no device should be able to do to its agent."""

    name, budget_real_s = "odd", 0.2

    def __init__(self):
        self.turns = [asyncio.CancelledError(), RuntimeError("boom"), "hang", MemoryError()]

    async def read(self):
        turn = self.turns.pop(0) if self.turns else "fine"
        if isinstance(turn, BaseException):
            raise turn
        if turn == "hang":
            await asyncio.sleep(60)
        return Answer({(3, 0): 1})

    def rest(self):
        pass


async def test_volttron_174_one_worker_that_fails_stops_neither_itself_nor_others():
    odd = Worker([Odd()], lambda: NOW, lambda _: None, 0.5)
    told = []
    for _ in range(5):
        await odd.begin(0.0)
        told.append(odd.fresh.pop("odd").answer)
    assert [bool(answer.words) for answer in told] == [False, False, False, False, True]
    assert all(answer.problem for answer in told[:4])
