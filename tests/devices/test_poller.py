"""The poller against real Modbus TCP servers: whatever one device does, the others go on."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wattcast_agent.devices.poller import Poller
from wattcast_core.errors import ConfigError, Refused, Unreachable
from wattcast_core.modbus.frame import wrap_tcp
from wattcast_core.samples import Quality

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def poller_of(bench, profiles):
    made = []

    def _make(*devices, **options):
        servers = options.pop("servers", ())
        made.append(
            Poller(bench.rack_of(*devices, servers=servers), profiles, lambda: NOW, **options)
        )
        return made[-1]

    yield _make
    for poller in made:
        await poller.close()


def state(poll, device):
    return next(d for d in poll.devices if d.device == device)


def sample(poll, source, quantity):
    return next(s for s in poll.samples if (s.source, s.quantity) == (source, quantity))


async def poll_until(poller, device, quality, within_s=5.0):
    deadline = time.monotonic() + within_s
    poll = await poller.poll()
    while state(poll, device).quality is not quality and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        poll = await poller.poll()
    assert state(poll, device).quality is quality, state(poll, device)
    return poll


def meter(bench, box, name, unit):
    return bench.Device(name, "eastron_sdm630", "127.0.0.1", box.port, unit)


async def test_a_rack_is_read_in_blocks(start, bench, poller_of):
    box = await start(bench.Box({1: bench.XERUS_PDU, 2: bench.sdm630(280), 3: bench.sdm630(90)}))
    ats = await start(bench.Box({1: bench.XERUS_TS, 2: bench.XY_MD02}))
    poller = poller_of(
        bench.Device("pdu", "raritan_xerus_pdu", "127.0.0.1", box.port),
        meter(bench, box, "m2", 2),
        meter(bench, box, "m3", 3),
        bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", ats.port),
        bench.Device("th", "xy_md02", "127.0.0.1", ats.port, 2),
    )
    poll = await poller.poll()
    assert sample(poll, "pdu", "inlet.1.power_w").value == pytest.approx(1150)
    assert sample(poll, "m3", "inlet.1.power_w").value == pytest.approx(90)
    assert sample(poll, "m2", "inlet.1.energy_wh").value == pytest.approx(12_500)
    assert sample(poll, "th", "env.1.temperature_c").value == pytest.approx(24.6)
    assert state(poll, "ats").readings["ats.active_source"] == 1
    assert {s.quality for s in poll.samples if s.source != "agent-1"} == {Quality.GOOD}
    assert {d.problem for d in poll.devices} == {""}
    box.requests.clear()
    await poller.poll()
    assert box.requests.count((2, 4, 0x00, 18)) == 1
    assert len(box.requests) == 3 + 2 + 2  # the PDU's gaps are unknown, so they are not crossed


async def test_a_device_that_refuses_gaps_is_read_around_them(start, bench, poller_of):
    box = await start(bench.Box({2: bench.sdm630(280, hole=True)}))
    poller = poller_of(meter(bench, box, "m2", 2))
    for _ in range(2):
        poll = await poller.poll()
        assert state(poll, "m2").quality is Quality.GOOD
    box.requests.clear()
    await poller.poll()
    assert [r[2:] for r in box.requests] == [(0, 18), (0x34, 2), (0x38, 2), (0x3E, 2), (0x46, 6)]


async def test_a_point_the_device_lacks_is_missing_and_the_rest_is_read(start, bench, poller_of):
    box = await start(bench.Box({1: {0: [1, 2, 0, 0, 1], 0x2001: [2, 2]}}))
    poller = poller_of(bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port))
    poll = await poller.poll()
    assert state(poll, "ats").readings == {"ats.active_source": 2, "ats.preferred_source": 2}
    assert state(poll, "ats").quality is Quality.GOOD
    assert sample(poll, "ats", "ats.phase_angle_deg").quality is Quality.MISSING
    assert "0x2008" in state(poll, "ats").problem


@pytest.mark.parametrize("fault", ["silent", 4, 6, 11])
async def test_a_failing_unit_leaves_its_gateway_siblings_alone_and_comes_back(
    start, bench, poller_of, fault
):
    box = await start(bench.Box({2: bench.sdm630(280), 3: bench.sdm630(90)}))
    poller = poller_of(meter(bench, box, "m2", 2), meter(bench, box, "m3", 3))
    box.faults[2] = fault
    poll = await poller.poll()
    assert state(poll, "m2").quality is Quality.MISSING
    assert state(poll, "m2").problem
    assert state(poll, "m2").readings == {}
    assert sample(poll, "m2", "inlet.1.power_w").quality is Quality.MISSING
    assert state(poll, "m3").quality is Quality.GOOD
    box.faults.clear()
    poll = await poll_until(poller, "m2", Quality.GOOD)
    assert sample(poll, "m2", "inlet.1.power_w").value == pytest.approx(280)


async def test_a_gateway_that_goes_away_and_returns(start, bench, poller_of):
    box = await start(bench.Box({2: bench.sdm630(280)}))
    other = await start(bench.Box({2: bench.sdm630(90)}))
    poller = poller_of(meter(bench, box, "m2", 2), meter(bench, other, "m3", 2))
    await poll_until(poller, "m2", Quality.GOOD)
    await box.stop()
    poll = await poll_until(poller, "m2", Quality.MISSING)
    assert state(poll, "m3").quality is Quality.GOOD
    await box.start()
    await poll_until(poller, "m2", Quality.GOOD)


async def test_nan_and_nonsense_values_are_invalid(start, bench, poller_of):
    box = await start(bench.Box({2: bench.sdm630(280)}))
    poller = poller_of(meter(bench, box, "m2", 2))
    await poller.poll()
    await box.put(2, 0x34, [0x7FC0, 0])
    await box.put(2, 0x00, bench.f32(1e9))
    poll = await poller.poll()
    assert sample(poll, "m2", "inlet.1.power_w").quality is Quality.INVALID
    assert sample(poll, "m2", "inlet.1.L1.voltage_v").quality is Quality.INVALID
    assert sample(poll, "m2", "inlet.1.L1.current_a").quality is Quality.GOOD
    assert state(poll, "m2").quality is Quality.INVALID
    assert "power_w is invalid" in state(poll, "m2").problem
    assert "inlet.1.power_w" not in state(poll, "m2").readings


def stray_then_true(zeros):
    return lambda t, u, pdu: wrap_tcp(t + 7, u, bytes([pdu[0], 2, 1, 2])) + zeros(t, u, pdu)


async def test_a_stray_answer_is_passed_over_and_the_connection_made_anew(start, bench, poller_of):
    box = await start(bench.RawBox(stray_then_true(bench.zeros)))
    poller = poller_of(meter(bench, box, "m2", 2))
    poll = await poller.poll()
    assert sample(poll, "m2", "inlet.1.power_w").value == 0
    assert box.connections == poller.health()["resyncs_total"] > 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda t, u, pdu: wrap_tcp(t + 7, u, bytes([pdu[0], 2, 1, 2])),
        lambda t, u, pdu: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda t, u, pdu: wrap_tcp(t, u, bytes([pdu[0], 8, 1, 2])),
        lambda t, u, pdu: wrap_tcp(t, u, b"\x63\x01\x02"),
        lambda t, u, pdu: wrap_tcp(t, u, bytes([pdu[0], 2, 1, 2])),
        lambda t, u, pdu: wrap_tcp(t, u + 1, bytes([pdu[0], 2, 1, 2])),
        lambda t, u, pdu: None,
    ],
    ids=["stray", "http", "byte count", "function", "too few", "other unit", "hang up"],
)
async def test_a_senseless_answer_is_missing_and_the_connection_starts_anew(
    start, bench, poller_of, reply
):
    box = await start(bench.RawBox(reply))
    good = await start(bench.Box({2: bench.sdm630(90)}))
    poller = poller_of(meter(bench, box, "m2", 2), meter(bench, good, "m3", 2))
    poll = await poller.poll()
    assert state(poll, "m2").quality is Quality.MISSING
    assert state(poll, "m3").quality is Quality.GOOD
    box.reply = bench.zeros
    # all zeros are believable except the frequency
    deadline = time.monotonic() + 5
    while sample(poll, "m2", "inlet.1.power_w").quality is not Quality.GOOD:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
        poll = await poller.poll()
    assert box.connections >= 2


async def test_a_silent_gateway_costs_one_poll_its_budget_not_more(start, bench, poller_of):
    box = await start(bench.Box({u: bench.sdm630(90) for u in range(2, 12)}))
    for unit in range(2, 12):
        box.faults[unit] = "silent"
    poller = poller_of(*(meter(bench, box, f"m{u}", u) for u in range(2, 12)), budget_real_s=0.3)
    began = time.monotonic()
    poll = await poller.poll()
    assert time.monotonic() - began < 1.0
    assert {d.quality for d in poll.devices if d.kind == "meter"} == {Quality.MISSING}
    assert all(d.problem for d in poll.devices if d.kind == "meter")


async def test_registers_that_stand_still_under_load_turn_stale_while_siblings_move(
    start, bench, poller_of
):
    box = await start(bench.Box({2: bench.sdm630(280), 3: bench.sdm630(90), 4: bench.sdm630(0)}))
    poller = poller_of(*(meter(bench, box, f"m{u}", u) for u in (2, 3, 4)))
    for i in range(32):
        await box.put(3, 0x34, bench.f32(90 + i))
        poll = await poller.poll()
    assert state(poll, "m2").quality is Quality.STALE
    assert sample(poll, "m2", "inlet.1.power_w").value == pytest.approx(280)
    assert not sample(poll, "m2", "inlet.1.power_w").usable
    assert state(poll, "m3").quality is Quality.GOOD
    assert state(poll, "m4").quality is Quality.GOOD  # switched off, not stuck
    await box.put(2, 0x34, bench.f32(281))
    assert state(await poller.poll(), "m2").quality is Quality.GOOD


async def test_a_frozen_meter_of_an_idle_input_is_stale_although_it_carries_nothing(
    start, bench, poller_of
):
    box = await start(bench.Box({2: bench.sdm630(280), 3: bench.sdm630(0)}))
    input_b = replace(meter(bench, box, "in-b", 3), server="", ats="ats", role="source_b")
    poller = poller_of(meter(bench, box, "m2", 2), input_b)
    for i in range(32):
        await box.put(2, 0x34, bench.f32(280 + i))
        poll = await poller.poll()
    assert state(poll, "in-b").quality is Quality.STALE


@pytest.mark.parametrize("code", [4, 5], ids=["device failure", "acknowledge"])
async def test_a_write_that_may_still_happen_is_not_called_refused(start, bench, poller_of, code):
    box = await start(bench.Box({1: bench.XERUS_TS}))
    poller = poller_of(
        bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port, lab=True),
    )
    await poller.poll()
    box.faults[1, 6] = code
    with pytest.raises(Unreachable, match="may still happen"):
        await poller.prefer("ats", "B")


async def test_prefer_writes_the_register_of_a_lab_device(start, bench, poller_of):
    box = await start(bench.Box({1: bench.XERUS_TS}))
    poller = poller_of(
        bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port, lab=True),
    )
    await poller.prefer("ats", "B")
    assert await box.get(1, 0x2002) == 2
    assert state(await poller.poll(), "ats").readings["ats.preferred_source"] == 2
    box.faults[1, 6] = 3
    with pytest.raises(Refused, match="illegal value"):
        await poller.prefer("ats", "A")
    box.faults[1, 6] = "silent"
    with pytest.raises(Unreachable):
        await poller.prefer("ats", "A")
    await box.stop()
    with pytest.raises(Refused, match="nothing was written"):
        await poller.prefer("ats", "A")


async def test_another_device_is_not_written_to(start, bench, poller_of):
    box = await start(bench.Box({1: {0: [1, 2, 0, 0, 0], 0x2001: [1, 1]}}))  # no transfer switch
    device = bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port, lab=True)
    poller = poller_of(device)
    with pytest.raises(Refused, match=r"nothing was written: .* does not fit profile"):
        await poller.prefer("ats", "B")
    assert await box.get(1, 0x2002) == 1
    poll = await poller.poll()
    assert state(poll, "ats").quality is Quality.MISSING
    assert "does not fit profile raritan_xerus_ts: register 0x0004" in state(poll, "ats").problem


async def test_a_write_confirmed_wrongly_counts_as_unknown(start, bench, poller_of):
    def reply(transaction, unit, pdu):
        ones = bytes([3, 2 * pdu[4], *[0, 1] * pdu[4]])  # one transfer switch, inlet 1 active
        return wrap_tcp(transaction, unit, ones if pdu[0] == 3 else pdu[:4] + b"\x07")

    box = await start(bench.RawBox(reply))
    device = bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port, lab=True)
    with pytest.raises(Unreachable, match="another write"):
        await poller_of(device).prefer("ats", "B")


async def test_prefer_refuses_what_no_profile_allows(start, bench, poller_of):
    box = await start(bench.Box({1: bench.XERUS_TS, 2: bench.sdm630(90)}))
    poller = poller_of(
        bench.Device("ats", "raritan_xerus_ts", "127.0.0.1", box.port),
        bench.Device("ats2", "raritan_xerus_ts", "127.0.0.1", box.port, lab=True),
        meter(bench, box, "m2", 2),
    )
    for ats, source, why in [
        ("ats", "B", "lab = true"),
        ("ats2", "C", "takes A, B"),
        ("m2", "B", "no command"),
        ("nowhere", "B", "no device"),
    ]:
        with pytest.raises(Refused, match=why):
            await poller.prefer(ats, source)
    assert not box.requests
    assert await box.get(1, 0x2002) == 1


async def test_an_unknown_profile_is_a_configuration_error(bench, profiles):
    rack = bench.rack_of(bench.Device("x", "eastron", "127.0.0.1", 1))
    with pytest.raises(ConfigError, match="device x: profile 'eastron' is unknown"):
        Poller(rack, profiles, lambda: NOW)


async def test_the_agents_own_machine_is_a_host(poller_of):
    poll = await poller_of().poll()
    assert state(poll, "agent-1").kind == "host"
    assert sample(poll, "agent-1", "cpu_seconds_total").value > 0
    assert 0 < sample(poll, "agent-1", "memory_used_pct").value < 100
