"""SNMP devices against a real agent: what is read is true, and what is not is said."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wattcast_agent.devices.login import login_of
from wattcast_agent.devices.poller import Poller
from wattcast_agent.devices.session import open_session
from wattcast_configs.files import load_rack
from wattcast_configs.rack import Agent, Rack, Snmp
from wattcast_core import points
from wattcast_core.errors import ConfigError, DataError, ForeignDevice, Refused, Unreachable
from wattcast_core.samples import Quality

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def read(device, snmp_profiles):
    async def _read(profile, record="", **more):
        known = device(profile, record, **more)
        session = await open_session(
            known, login_of(known, known.where), [snmp_profiles[profile]], 6.0
        )
        try:
            samples, state = await session.read(NOW)
        finally:
            await session.close()
        return {s.quantity: s for s in samples}, state

    return _read


@pytest.fixture
async def poller_of(snmp_profiles):
    made = []

    def _make(*devices, **options):
        rack = Rack(Agent("agent-1", "r1", "unused"), devices, ())
        patient = {"budget_real_s": 10.0, "patience_real_s": 10.0} | options
        made.append(Poller(rack, snmp_profiles, lambda: NOW, **patient))
        return made[-1]

    yield _make
    for poller in made:
        await poller.close()


def state(poll, device):
    return next(d for d in poll.devices if d.device == device.id)


async def test_a_rack_pdu_is_counted_and_read(read):
    got, state = await read("apc_rpdu2", "rpdu2")
    assert got["device.power_w"].value == 1210
    assert got["device.energy_wh"].value == 1_951_600
    assert [got[f"bank.{n}.current_a"].value for n in (1, 2)] == pytest.approx([3.8, 2.7])
    assert got["inlet.1.L1.current_a"].value == pytest.approx(6.5)
    assert [got[f"outlet.{n}.power_w"].value for n in range(1, 31)] == list(range(10, 301, 10))
    assert "outlet.31.power_w" not in got
    assert [got[f"outlet.{n}.state"].value for n in (2, 3)] == [1, 0]
    assert got["outlet.30.energy_wh"].value == 103_000
    assert state.quality is Quality.GOOD
    for absent in ("inlet.1.L1.voltage_v", "env.1.temperature_c"):  # -1 is a word, not a number
        assert got[absent].quality is Quality.INVALID
        assert absent in state.problem
    assert got["env.1.humidity_pct"].value == 41


@pytest.mark.parametrize(
    ("record", "device_w", "switched", "metered_w"),
    [
        ("apc-8641", 1210, 24, 1117),
        ("apc-8932", 160, 24, 0),  # it meters no outlet
        ("apc-7902b", None, 16, 0),  # it meters no power at all: -1
    ],
)
async def test_recordings_of_real_rack_pdus(read, record, device_w, switched, metered_w):
    got, state = await read("apc_rpdu2", record)
    assert state.readings.get("device.power_w") == device_w
    assert state.quality is (Quality.GOOD if device_w else Quality.INVALID)
    outlets = {q: s for q, s in got.items() if q.startswith("outlet.")}
    assert sum(q.endswith("state") for q in outlets) == switched
    assert sum(s.value for q, s in outlets.items() if q.endswith("power_w")) == metered_w


async def test_a_recording_of_a_real_ups(read):
    got, state = await read("rfc1628_ups", "eaton-93e-80")
    assert (state.quality, state.problem) == (Quality.GOOD, "")
    assert [got[f"output.1.L{n}.power_w"].value for n in (1, 2, 3)] == [5100, 3600, 2700]
    assert got["ups.battery_charge_pct"].value == 100


async def test_values_are_scaled_as_the_device_says(read):
    got, state = await read("raritan_pdu2", "pdu2")
    assert got["inlet.1.power_w"].value == pytest.approx(590.3)
    assert got["inlet.1.current_a"].value == pytest.approx(1.301)
    assert got["inlet.1.power_factor"].value == pytest.approx(0.86)
    assert got["outlet.1.power_w"].value == pytest.approx(100)
    assert got["outlet.2.power_w"].quality is Quality.MISSING  # its number of digits is none
    assert "inlet.1.frequency_hz" not in got  # this model has none
    assert got["env.1.temperature_c"].value == pytest.approx(22.9)
    assert got["env.2.humidity_pct"].value == 15
    assert points.power_w(state.readings) == pytest.approx(590.3)
    assert (state.quality, state.problem) == (Quality.GOOD, "outlet.2.power_w is missing")


@pytest.mark.parametrize(("record", "celsius"), [("sentry-c", 75.2), ("sentry-f", 24.0)])
async def test_a_temperature_is_read_in_the_scale_set_on_the_device(read, record, celsius):
    got, state = await read("servertech_sentry4", record)
    assert got["env.2.temperature_c"].value == pytest.approx(celsius)
    assert got["env.1.temperature_c"].quality is Quality.INVALID  # -410
    assert got["inlet.1.power_w"].value + got["inlet.2.power_w"].value == 2960
    assert got["inlet.2.L3.current_a"].value == pytest.approx(3.02)
    assert points.power_w(state.readings) == 2960


async def test_a_temperature_of_an_unknown_scale_is_none(read):
    got, _ = await read("servertech_sentry4", "sentry-odd")
    assert "env.2.temperature_c" not in got
    assert got["env.2.humidity_pct"].value == 37


async def test_a_transfer_switch(read):
    got, state = await read("apc_ats", "ats")
    wanted = {
        "ats.active_source": 1,
        "ats.preferred_source": 1,
        "ats.redundant": 1,
        "ats.overcurrent": 0,
    }
    wanted |= {"ats.phase_in_sync": 1, "ats.source.B.available": 1, "ats.source.B.voltage_v": 229}
    wanted |= {
        "bank.1.power_w": 884,
        "bank.2.power_w": 839,
        "device.power_w": 1701,
        "device.current_a": 7.7,
    }
    wanted |= {"ats.panel_locked": 0, "ats.source.A.supply_ok": 1}
    assert {q: got[q].value for q in wanted} == pytest.approx(wanted)
    assert (state.kind, state.quality, state.problem) == ("ats", Quality.GOOD, "")


async def test_a_switch_that_complains_says_so(read):
    got, state = await read("apc_ats", "ats-sick")
    assert state.quality is Quality.GOOD
    assert state.problem.startswith("redundancy is lost; overcurrent: it will not switch over")
    assert got["ats.phase_in_sync"].value == 0


async def test_one_bad_object_never_costs_the_others(read):
    got, state = await read("apc_ats", "ats-odd")
    assert got["ats.active_source"].quality is Quality.INVALID  # a text
    assert got["ats.switch_ok"].quality is Quality.INVALID  # a state nobody documented
    assert got["ats.source.A.voltage_v"].quality is Quality.MISSING  # genErr
    assert got["ats.source.B.voltage_v"].value == 229
    assert state.quality is Quality.INVALID
    assert "ats.active_source is invalid" in state.problem


async def test_other_families(read):
    got, _ = await read("eaton_ats2", "eaton-ats")
    wanted = {"ats.active_source": 2, "ats.source.A.available": 0, "ats.source.B.available": 1}
    wanted |= {"ats.phase_angle_deg": -12, "ats.source.A.voltage_v": 230.4}
    assert {q: got[q].value for q in wanted} == pytest.approx(wanted)
    got, state = await read("rfc1628_ups", "ups")
    wanted = {
        "ups.on_battery": 1,
        "ups.on_bypass": 0,
        "ups.battery_runtime_s": 720,
        "output.1.L3.load_pct": 60,
    }
    assert {q: got[q].value for q in wanted} == wanted
    assert (state.kind, state.problem) == ("ups", "it runs on battery")


async def test_a_wrong_profile_is_refused_and_names_what_it_saw(read):
    with pytest.raises(ForeignDevice, match=r"26 is not there.*sysObjectID '1\.3\S+\.1718\.4'"):
        await read("apc_rpdu2", "sentry-c")
    with pytest.raises(DataError, match="is not there"):
        await read("rfc1628_ups", "sentry-c")


async def test_version_3(read, v3):
    got, state = await read("apc_ats", snmp=v3())
    assert got["ats.active_source"].value == 1
    assert state.quality is Quality.GOOD


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"auth_key": "another-secret"}, "authentication passphrase or protocol is wrong"),
        ({"user": "nobody"}, "does not know the user"),
        ({"priv_key": "another-secret"}, "privacy passphrase or protocol is wrong"),
    ],
)
async def test_a_wrong_login_of_version_3_is_told(read, v3, wrong, says):
    with pytest.raises(Unreachable, match=says):
        await read("apc_ats", snmp=v3(**wrong))


async def test_a_silent_device_leaves_the_others_alone(device, poller_of, snmp_profiles):
    mute = device("apc_rpdu2", "rpdu2", port=9)
    good = device("apc_ats", "ats")
    poller = poller_of(mute, good, budget_real_s=3.0)
    poll = await poller.poll()
    assert state(poll, mute).quality is Quality.MISSING
    assert "nothing listens on this UDP port" in state(poll, mute).problem
    assert state(poll, good).quality is Quality.GOOD


async def test_after_the_start_a_poll_is_a_few_named_gets(device, poller_of):
    pdu = device("apc_rpdu2", "rpdu2")
    poller = poller_of(pdu)
    await poller.poll()
    peer = poller._units[pdu.id]._peer
    before = peer.requests
    poll = await poller.poll()
    assert state(poll, pdu).quality is Quality.GOOD
    assert peer.requests - before == 6  # 129 objects, 24 a request
    assert len(state(poll, pdu).readings) == 127


async def test_the_preferred_source_is_set_and_read_back(device, poller_of):
    switch = device("apc_ats", "ats", isolated=True)
    poller = poller_of(switch)
    await poller.poll()
    await poller.prefer(switch.id, "B")
    readings = state(await poller.poll(), switch).readings
    assert readings["ats.preferred_source"] == 2
    assert readings["ats.active_source"] == 1  # set, not moved
    await poller.prefer(switch.id, "B")  # the same again does no harm
    with pytest.raises(Refused, match=r"prefer_source B was written lately; wait \d+ s"):
        await poller.prefer(switch.id, "A")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("ats-sick", "ats.overcurrent is 'yes', not 'no'"),
        ("ats-b-lost", "ats.source.B.available is 'no', not 'yes'"),
        ("ats-odd", "ats.active_source is invalid"),
        ("ats-bare", "does not offer ats.switch_ok"),
    ],
)
async def test_a_switch_that_is_not_fit_for_it_is_not_written(device, poller_of, record, why):
    switch = device("apc_ats", record, isolated=True)
    with pytest.raises(Refused, match=why):
        await poller_of(switch).prefer(switch.id, "B")


async def test_version_3_may_write(device, poller_of, v3):
    switch = device("apc_ats", snmp=v3())
    await poller_of(switch).prefer(switch.id, "A")


async def test_writing_is_refused_where_it_is_not_safe(device, poller_of, v3):
    community = device("apc_ats", "ats")
    with pytest.raises(Refused, match="needs SNMPv3 with auth_key and priv_key, or isolated"):
        await poller_of(community).prefer(community.id, "B")
    clear = device("apc_ats", snmp=v3(priv_key=""))
    clear = replace(clear, snmp=replace(clear.snmp, priv_key=""))
    with pytest.raises(Refused, match="needs SNMPv3 with auth_key and priv_key"):
        await poller_of(clear).prefer(clear.id, "B")
    lab_only = device("raritan_pdu2_ts", "pdu2", isolated=True)
    with pytest.raises(Refused, match="never proven on hardware"):
        await poller_of(lab_only).prefer(lab_only.id, "B")


async def test_a_write_that_did_not_happen_is_refused_though_the_status_is_0(device, poller_of):
    switch = device("apc_ats", "ats-readonly", isolated=True)
    with pytest.raises(Refused, match=r"refused prefer_source B"):
        await poller_of(switch).prefer(switch.id, "B")
    wrong = device("apc_ats", "pdu2", isolated=True)  # the probe stands before every write
    with pytest.raises(Refused, match=r"nothing was written: .* give another profile"):
        await poller_of(wrong).prefer(wrong.id, "B")


@pytest.mark.parametrize(
    ("snmp", "says"),
    [
        (Snmp(), "give either community"),
        (Snmp(community="secret"), "a secret is not written here"),
        (Snmp(community="env:NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (Snmp(community="file:/nonexistent/secret"), "cannot be read"),
        (Snmp(user="u", auth="MD5", auth_key="env:PATH"), "auth: 'MD5' is unknown"),
        (Snmp(user="u"), "auth_key is missing"),
    ],
)
async def test_a_login_that_cannot_work_names_key_and_remedy(device, poller_of, snmp, says):
    with pytest.raises(ConfigError, match=says) as caught:
        poller_of(device("apc_ats", "ats", snmp=snmp))
    assert "device apc_ats-ats: snmp" in str(caught.value)
    assert "'secret'" not in str(caught.value)


async def test_a_community_from_a_file(read, tmp_path):
    path = tmp_path / "community"
    path.write_text("ats\n")
    got, _ = await read("apc_ats", snmp=Snmp(community=f"file:{path}"))
    assert got["ats.active_source"].value == 1


async def test_a_switch_that_moves_is_seen_to_move(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port, isolated=True)
    poller = poller_of(rack_ats)
    await poller.poll()
    await poller.prefer(rack_ats.id, "B")
    assert state(await poller.poll(), rack_ats).readings["ats.active_source"] == 2


async def test_a_write_that_is_confirmed_but_not_kept_is_told(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port, isolated=True)
    switch.deaf = switch.stuck = True
    with pytest.raises(DataError, match="took prefer_source B, but still shows 1"):
        await poller_of(rack_ats).prefer(rack_ats.id, "B")


async def test_a_write_without_an_answer_is_not_repeated(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port, isolated=True)
    poller = poller_of(rack_ats)
    poller._units[rack_ats.id]._peer._timeout_real_s = 0.3
    await poller.poll()
    switch.mute_sets, before = True, switch.sets
    with pytest.raises(Unreachable, match="no answer within"):
        await poller.prefer(rack_ats.id, "B")
    assert switch.sets == before + 1


async def test_a_lost_datagram_is_asked_for_again_but_silence_backs_off(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port)
    poller = poller_of(rack_ats)
    poller._units[rack_ats.id]._peer._timeout_real_s = 0.2
    await poller.poll()
    switch.drop = 1
    assert state(await poller.poll(), rack_ats).quality is Quality.GOOD
    switch.drop = 2
    lost = state(await poller.poll(), rack_ats)
    assert lost.quality is Quality.MISSING
    assert "no answer within 0.2 s" in lost.problem
    assert "next try in" in state(await poller.poll(), rack_ats).problem
    await asyncio.sleep(0.65)
    assert state(await poller.poll(), rack_ats).quality is Quality.GOOD


async def test_an_answer_that_is_too_big_is_asked_for_in_halves(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port)
    switch.most = 7
    poller = poller_of(rack_ats)
    assert state(await poller.poll(), rack_ats).quality is Quality.GOOD
    switch.sizes.clear()
    assert state(await poller.poll(), rack_ats).quality is Quality.GOOD
    assert max(switch.sizes) <= 7  # it has learned


async def test_an_answer_about_something_else_is_no_answer(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port)
    poller = poller_of(rack_ats)
    await poller.poll()
    switch.stray = True
    poll = await poller.poll()
    assert state(poll, rack_ats).quality is Quality.MISSING
    assert "other objects than asked for" in state(poll, rack_ats).problem


async def test_a_slow_device_is_got_to_know_over_several_polls(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port)
    switch.delay_real_s = 0.15
    poller = poller_of(rack_ats, budget_real_s=0.25)
    assert state(await poller.poll(), rack_ats).quality is Quality.MISSING
    qualities = [state(await poller.poll(), rack_ats).quality for _ in range(8)]
    assert qualities[-1] is Quality.GOOD


async def test_what_is_new_on_a_device_is_found_in_time(device, poller_of, switch):
    rack_ats = device("apc_ats", "switch", port=switch.port)
    oid = "1.3.6.1.4.1.318.1.1.8.5.3.3.1.3.2.1.1"
    value = switch.objects.pop(oid)
    poller = poller_of(rack_ats)
    known = state(await poller.poll(), rack_ats)
    assert "ats.source.B.voltage_v" not in known.readings
    assert (known.quality, known.problem) == (Quality.GOOD, "")  # not every model has all
    switch.objects[oid] = value
    poller._units[rack_ats.id]._polls = 599
    await poller.poll()
    assert state(await poller.poll(), rack_ats).readings["ats.source.B.voltage_v"] == value


def test_a_rack_file_says_where_secrets_stand(tmp_path):
    path = tmp_path / "rack.toml"
    path.write_text(
        'agent = { id = "a", rack = "r", state_dir = "s" }\nserver = []\n[[device]]\nid = "ats"\n'
        'profile = "apc_ats"\nhost = "192.0.2.1"\nport = 161\nisolated = true\n'
        'snmp = { user = "u", auth_key = "env:A", priv_key = "file:/run/secrets/p" }\n'
    )
    (found,) = load_rack(path).device
    assert (found.isolated, found.snmp.auth, found.snmp.priv) == (True, "SHA256", "AES")
    path.write_text(path.read_text().replace("auth_key", "auth_kay"))
    with pytest.raises(ConfigError, match="did you mean 'auth_key'"):
        load_rack(path)
