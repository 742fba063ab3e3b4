"""Devices nobody told the profile of: identified by what they show, or refused by name."""

import pytest

from wattcast_agent.devices.login import Login
from wattcast_agent.devices.session import open_session
from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Device
from wattcast_core.errors import ForeignDevice, Refused
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s

pytestmark = pytest.mark.integration
NOW = from_epoch_s(1_700_000_000)
PROFILES = list(load_profiles().values())


@pytest.fixture
def meet(sim):
    """Identifies a record's device and reads it: (profile, name -> sample)."""

    async def _meet(record, profiles=PROFILES, port=sim):
        device = Device(record, "", url=f"snmp://127.0.0.1:{port}")
        session = await open_session(device, Login(community=record), profiles, 15.0)
        try:
            samples, _ = await session.read(NOW)
        finally:
            await session.close()
        return session.profile.name, {s.quantity: s for s in samples}

    return _meet


def good(samples):
    return {name: s.value for name, s in samples.items() if s.quality is Quality.GOOD}


@pytest.mark.parametrize(
    ("record", "profile", "some"),
    [
        ("apc-8641", "apc_rpdu2", {"device.power_w": 1210}),
        ("apc-7902b", "apc_rpdu2", {"inlet.1.L1.current_a": 1.6}),
        ("eaton-93e-80", "rfc1628_ups", {"ups.load_pct": 21, "output.1.L2.power_w": 3600}),
        ("phoenixtec-power", "rfc1628_ups", {"inlet.1.L1.voltage_v": 238, "ups.load_pct": 0}),
        ("huawei-gse200m", "huawei_ups", {"output.1.L1.voltage_v": 219.9, "ups.load_pct": 8}),
        ("sentry-c", "servertech_sentry4", {"inlet.1.power_w": 1700, "inlet.2.L3.current_a": 3.02}),
        ("pdu2", "raritan_pdu2", {"inlet.1.power_w": 590.3, "env.1.temperature_c": 22.9}),
        ("rpdu1", "apc_rpdu", {"device.power_w": 2300, "inlet.1.L3.current_a": 3}),
        ("ats", "apc_ats", {"ats.active_source": 1, "bank.2.power_w": 839}),
        ("ats-with-loads", "apc_ats", {"ats.active_source": 1, "device.power_w": 1701}),
        ("eaton-ats", "eaton_ats2", {"ats.active_source": 2}),
    ],
)
async def test_a_device_is_identified_by_what_it_shows(meet, record, profile, some):
    name, samples = await meet(record)
    assert name == profile
    found = good(samples)
    assert {n: found[n] for n in some} == pytest.approx(some)


async def test_units_of_a_chain_are_inlets_each_with_its_own_lines(meet):
    name, samples = await meet("rpdu2-chain")
    assert (name, good(samples)) == (
        "apc_rpdu2",
        pytest.approx(
            {
                "inlet.1.power_w": 1210,
                "inlet.2.power_w": 3000,
                "inlet.1.L1.current_a": 1,
                "inlet.2.L1.current_a": 2,
                "inlet.2.L2.current_a": 3,
                "inlet.2.L3.current_a": 4,
                "outlet.1.power_w": 100,
                "outlet.2.power_w": 200,
                "outlet.25.power_w": 2500,
            }
        ),
    )


@pytest.mark.parametrize(
    ("record", "lacks", "left"),
    [
        ("rpdu2-no-outlet-power", "outlet.3.power_w", {"outlet.3.current_a": 0.3}),
        ("rpdu2-no-phase-current", "inlet.1.L1.current_a", {"inlet.1.L1.power_w": 1220}),
    ],
)
async def test_a_table_is_read_though_it_lacks_the_column_it_is_counted_by(
    meet, record, lacks, left
):
    _, samples = await meet(record)
    found = good(samples)
    assert {name: found[name] for name in left} == pytest.approx(left)
    assert lacks not in samples


async def test_sensors_of_several_tables_are_counted_through(meet):
    name, samples = await meet("vertiv")
    found = good(samples)
    assert name == "vertiv_geist"
    assert found == pytest.approx(
        {
            "inlet.1.power_w": 1500,
            "env.1.temperature_c": 25,
            "env.3.temperature_c": 20,
            "env.3.humidity_pct": 41,
        }
    )
    assert samples["env.2.temperature_c"].quality is Quality.INVALID


async def test_a_watchdog_and_its_outer_sensors(meet):
    name, samples = await meet("geist-temperature-sensor")  # its recording wanders
    assert name == "geist_watchdog"
    found = good(samples)
    assert {n for n in found if n.endswith("temperature_c")} == {
        f"env.{n}.temperature_c" for n in (1, 2, 3)
    }
    assert all(5 < v < 45 for n, v in found.items() if n.endswith("temperature_c"))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ("emerson-network-power", r"UPS Web/SNMP Agent, Emerson.*1\.3\.6\.1\.4\.1\.13400\.2\.1"),
        ("vertiv-power", r"sysObjectID '1\.3\.6\.1\.4\.1\.476\.1\.42'"),
        ("ups-namesake", "has no object of profile rfc1628_ups"),
    ],
)
async def test_a_foreign_device_is_refused_by_name(meet, record, says):
    with pytest.raises(ForeignDevice, match=says) as caught:
        await meet(record)
    assert caught.value.exit_code == 3


async def test_a_device_that_several_profiles_fit_is_not_guessed(meet):
    twins = [p for p in PROFILES if p.name == "apc_ats"] * 2
    with pytest.raises(Refused, match="fits several profiles: apc_ats, apc_ats"):
        await meet("ats", twins)


async def test_lines_are_named_as_the_device_names_them(meet):
    name, samples = await meet("epdu")
    assert name == "eaton_epdu"
    found = good(samples)
    lines = {n: v for n, v in found.items() if n.startswith("inlet.1.")}
    assert lines == pytest.approx(
        {
            "inlet.1.power_w": 3000,
            "inlet.1.N.current_a": 1,
            "inlet.1.L1.current_a": 2,  # the stray single phase counts no second time
            "inlet.1.L2.current_a": 3,
            "inlet.1.L3.current_a": 4,
            "inlet.1.L1.voltage_v": 230,
            "inlet.1.L1_L2.voltage_v": 400,
            "inlet.1.L1.power_w": 1000,  # the second row is the total again
        }
    )
    assert found["env.1.temperature_c"] == pytest.approx(25)
    assert samples["env.2.temperature_c"].quality is Quality.INVALID  # its probe is bad
    assert (found["outlet.1.state"], found["outlet.2.state"]) == (1, 0)
    assert samples["outlet.3.state"].quality is Quality.INVALID  # on its way


@pytest.mark.parametrize(("record", "celsius"), [("ems-c", 77), ("ems-f", 25)])
async def test_the_same_sensor_counts_once_and_a_lost_one_has_no_reading(meet, record, celsius):
    _, samples = await meet(record)
    found = good(samples)
    assert found == pytest.approx({"env.1.temperature_c": celsius, "env.1.humidity_pct": 40})
    assert samples["env.2.temperature_c"].quality is Quality.INVALID


async def test_a_temperature_of_an_untold_unit_is_none(meet):
    _, samples = await meet("ems-untold")
    assert good(samples) == {"env.1.humidity_pct": 40}
    assert samples["env.1.temperature_c"].quality is Quality.INVALID  # 77 may be either


async def test_a_card_with_sensors_is_the_device_it_speaks_for(meet):
    name, samples = await meet("apc-ups-and-sensor")
    assert (name, good(samples)) == ("apc_ups", {"ups.battery_charge_pct": 75})
