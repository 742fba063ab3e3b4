"""Every profile that ships loads, and its vectors mean what they say."""

import itertools

import pytest

from wattcast_agent.devices import plan
from wattcast_agent.devices.decode import decode
from wattcast_configs.profile import Around
from wattcast_configs.profiles import BUILT_IN, load_profile, load_profiles
from wattcast_core.errors import ConfigError
from wattcast_core.samples import Quality

PROFILES = load_profiles(protocol="modbus")

# A second, independent reading of the register facts, in documented (mostly decimal or hexadecimal)
# numbers: function, word order, certainty, then "type scale certainty? quantity=address ...".
# The part all names of a profile belong to is left out.
FACTS = {
    "abb_otm": ((3, "big", "B"), "u16 1 remote_control=33", "4 u16 1 fault=25"),
    "asco_group_g": (
        (3, "big", "C"),
        "i16 0.1 phase_angle_deg=11",
        "u16 0.1 source.A.L1.voltage_v=16 source.A.L2.voltage_v=17 source.A.L3.voltage_v=18",
    ),
    "abb_b23": (
        (3, "big", "C"),
        "u32 0.1 L1.voltage_v=0x5B00 L2.voltage_v=0x5B02 L3.voltage_v=0x5B04",
        "u32 0.01 L1.current_a=0x5B0C L2.current_a=0x5B0E L3.current_a=0x5B10",
        "i32 0.01 power_w=0x5B14",
        "u64 10 energy_wh=0x5000",
    ),
    "carlo_gavazzi_em24": (
        (4, "little", "B"),
        "i32 0.1 L1.voltage_v=0 L2.voltage_v=2 L3.voltage_v=4",
        "i32 0.001 L1.current_a=0x0C L2.current_a=0x0E L3.current_a=0x10",
        "i32 0.1 L1.power_w=0x12 L2.power_w=0x14 L3.power_w=0x16 power_w=0x28",
        "i16 0.001 C power_factor=0x35",
        "i16 0.1 frequency_hz=0x37",
        "i32 100 energy_wh=0x42 energy_export_wh=0x5C",
    ),
    "carlo_gavazzi_em24_e1": (
        (4, "little", "B"),
        "i32 0.1 L1.voltage_v=0 L2.voltage_v=2 L3.voltage_v=4",
        "i32 0.001 L1.current_a=0x0C L2.current_a=0x0E L3.current_a=0x10",
        "i32 0.1 L1.power_w=0x12 L2.power_w=0x14 L3.power_w=0x16 power_w=0x28",
        "i16 0.001 C power_factor=0x31",
        "i16 0.1 frequency_hz=0x33",
        "i32 100 energy_wh=0x34 energy_export_wh=0x4E",
    ),
    "eastron_sdm630": (
        (4, "big", "B"),
        "f32 1 L1.voltage_v=0x00 L2.voltage_v=0x02 L3.voltage_v=0x04",
        "f32 1 L1.current_a=0x06 L2.current_a=0x08 L3.current_a=0x0A",
        "f32 1 L1.power_w=0x0C L2.power_w=0x0E L3.power_w=0x10 power_w=0x34",
        "f32 1 apparent_power_va=0x38 power_factor=0x3E frequency_hz=0x46",
        "f32 1000 energy_wh=0x48 energy_export_wh=0x4A",
    ),
    "janitza_umg": (
        (3, "big", "B"),
        "f32 1 L1.voltage_v=0x4A38 L2.voltage_v=0x4A3A L3.voltage_v=0x4A3C",
        "f32 1 L1.current_a=0x4A44 L2.current_a=0x4A46 L3.current_a=0x4A48",
        "f32 1 L1.power_w=0x4A4C L2.power_w=0x4A4E L3.power_w=0x4A50 power_w=0x4A52",
        "f32 1 frequency_hz=0x4A6A energy_wh=0x4A7C",
    ),
    "raritan_xerus_pdu": (
        (3, "big", "C"),
        "f32 1 voltage_v=0x3008 current_a=0x300A power_w=0x3012 apparent_power_va=0x3014",
        "f32 1 power_factor=0x3016 frequency_hz=0x3022",
        "f32 1 bank.1.current_a=0x400A",
        "f32 1 outlet.1.voltage_v=0x8008 outlet.1.current_a=0x800A outlet.1.power_w=0x8012",
        "f32 1 outlet.1.apparent_power_va=0x8014 outlet.1.power_factor=0x8016",
        "f32 1 outlet.1.frequency_hz=0x8022",
    ),
    "raritan_xerus_ts": (
        (3, "big", "C"),
        "u16 1 active_source=0x2001 preferred_source=0x2002",
        "f32 1 phase_angle_deg=0x2008",
    ),
    "schneider_iem3000": (
        (3, "big", "B"),
        "f32 1 L1.current_a=0x0BB7 L2.current_a=0x0BB9 L3.current_a=0x0BBB",
        "f32 1 L1.voltage_v=0x0BD3 L2.voltage_v=0x0BD5 L3.voltage_v=0x0BD7",
        "f32 1000 L1.power_w=0x0BED L2.power_w=0x0BEF L3.power_w=0x0BF1 power_w=0x0BF3",
        "f32 1 frequency_hz=0x0C25",
        "i64 1 energy_wh=0x0C83 energy_export_wh=0x0C87",
    ),
    "schneider_pm5000": (  # documented 3000, 3002, 3004 and 3060, counted from 1
        (3, "big", "C"),
        "f32 1 L1.current_a=2999 L2.current_a=3001 L3.current_a=3003",
        "f32 1000 power_w=3059",
        "f32 1 L1_L2.voltage_v=3019 L2_L3.voltage_v=3021 L3_L1.voltage_v=3023",
    ),
    "siemens_pac2200": (
        (4, "big", "B"),
        "f32 1 L1.voltage_v=1 L2.voltage_v=3 L3.voltage_v=5",
        "f32 1 L1.current_a=13 L2.current_a=15 L3.current_a=17",
        "f32 1 L1.power_w=25 L2.power_w=27 L3.power_w=29 power_w=65",
        "f32 1 apparent_power_va=63 power_factor=69",
        "f32 1 C frequency_hz=46",
        "f64 1 energy_wh=801 energy_export_wh=809",
    ),
    "socomec_atys_p_m": (
        (3, "big", "B"),
        "u16 1 active_source=20482 preferred_source=20485",
        "u16 1 source.A.available=20486 source.B.available=20487",
    ),
    "socomec_diris": (
        (3, "big", "B"),
        "u32 0.01 L1.voltage_v=0xC558 L2.voltage_v=0xC55A L3.voltage_v=0xC55C",
        "u32 0.01 C frequency_hz=0xC55E",
        "u32 0.001 L1.current_a=0xC560 L2.current_a=0xC562 L3.current_a=0xC564",
        "i32 10 power_w=0xC568",
    ),
    "vaisala_hmp": ((3, "little", "B"), "f32 1 humidity_pct=0 temperature_c=2"),
    "xy_md02": ((4, "big", "B"), "i16 0.1 temperature_c=1", "u16 0.1 humidity_pct=2"),
}
# state register -> value, as the makers' tables say (ATyS: raw 1 = position 0; only 2 = available)
MAPS = {
    ("abb_otm", "ats.remote_control"): {"0": "no", "1": "yes"},
    ("abb_otm", "ats.fault"): {"0": "no", **dict.fromkeys("12345", "yes")},
    ("raritan_xerus_ts", "ats.active_source"): {"0": "none", "1": "A", "2": "B"},
    ("raritan_xerus_ts", "ats.preferred_source"): {"1": "A", "2": "B"},
    ("socomec_atys_p_m", "ats.active_source"): {"1": "none", "2": "A", "3": "B"},
    ("socomec_atys_p_m", "ats.preferred_source"): {"0": "none", "1": "A", "2": "B"},
    ("socomec_atys_p_m", "ats.source.A.available"): {"0": "no", "1": "no", "2": "yes"},
    ("socomec_atys_p_m", "ats.source.B.available"): {"0": "no", "1": "no", "2": "yes"},
}
PART = {"meter": "inlet.1", "pdu": "inlet.1", "sensor": "env.1", "ats": "ats"}


def facts_of(name):
    (function, order, certainty), *lines = FACTS[name]
    part = PART[PROFILES[name].kind]
    for line in lines:
        words = line.split()
        read_by = int(words.pop(0)) if words[0].isdigit() else function
        kind, scale, *rest = words
        graded = rest.pop(0) if rest[0] in "ABC" else certainty
        for quantity, address in (item.split("=") for item in rest):
            whole = quantity if quantity[:4] in ("bank", "outl") else f"{part}.{quantity}"
            yield whole, (read_by, int(address, 0), kind, order, float(scale), graded)


def facts_in(profile):
    transport = profile.transport
    for p in profile.point:
        order, certainty = p.word_order or transport.word_order, p.certainty or profile.certainty
        yield (
            p.quantity,
            (profile.function_of(p), p.address, p.type, order, p.scale, certainty),
        )


def words_of(profile, vector):
    functions = {p.function or profile.transport.function for p in profile.point}
    return {
        (function, int(start, 0) + i): word
        for start, block in vector.registers.items()
        for i, word in enumerate(block)
        for function in functions
    }


def spread_of(name):
    """With the first row of each repeat."""
    profile = PROFILES[name]
    return plan.spread(profile, {repeat.name: {"1": 1} for repeat in profile.repeat})


@pytest.mark.parametrize("name", PROFILES)
def test_vectors_decode_as_stated(name):
    profile = spread_of(name)
    for vector in profile.vector:
        got = decode(profile, words_of(profile, vector))
        for quantity, value in vector.values.items():
            assert got[quantity].quality is Quality.GOOD, (vector.note, quantity)
            assert got[quantity].value == pytest.approx(value, rel=1e-6), (vector.note, quantity)
        for quantity in vector.invalid:
            assert got[quantity].quality is Quality.INVALID, (vector.note, quantity)


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_has_a_vector_and_a_register_left_out_is_missing(name):
    profile = spread_of(name)
    tested = {q for vector in profile.vector for q in vector.values}
    assert tested == {p.quantity for p in profile.point}
    assert {r.quality for r in decode(profile, {}).values()} == {Quality.MISSING}


@pytest.mark.parametrize("name", PROFILES)
def test_registers_are_those_of_a_second_reading(name):
    profile = PROFILES[name]
    facts = dict(facts_of(name))
    assert {q: fact for q, fact in facts_in(spread_of(name)) if q in facts} == facts
    assert {p.quantity for p in profile.point} <= facts.keys()
    maps = {(name, p.quantity): dict(p.map) for p in profile.point if p.map}
    assert maps == {key: value for key, value in MAPS.items() if key[0] == name}


@pytest.mark.parametrize("name", PROFILES)
def test_vectors_tell_every_two_points_apart(name):
    profile = spread_of(name)
    for p, q in itertools.combinations(profile.point, 2):
        pairs = [(v.values.get(p.quantity), v.values.get(q.quantity)) for v in profile.vector]
        assert any(a != b for a, b in pairs if None not in (a, b)), (p.quantity, q.quantity)


def test_only_lab_switches_can_be_written():
    writes = {p.name: (p.lab_only, p.command) for p in PROFILES.values() if p.command or p.lab_only}
    assert {
        (name, c.name, c.function, c.address) for name, (_, cs) in writes.items() for c in cs
    } == {
        ("raritan_xerus_ts", "prefer_source", 6, 0x2002),
        ("abb_otm", "prefer_source", 6, 32),
    }
    assert all(lab_only for lab_only, _ in writes.values())
    (xerus,) = writes["raritan_xerus_ts"][1]
    assert (xerus.values, xerus.verify) == ({"A": 1, "B": 2}, "ats.active_source")
    (otm,) = writes["abb_otm"][1]
    assert (otm.values, otm.around) == ({"A": 1, "B": 3}, (Around(33, 1, restore=0),))


def test_commands_of_uncertain_facts_are_for_the_lab():
    for profile in PROFILES.values():
        for command in profile.command:
            assert command.idempotent
            assert profile.lab_only or command.certainty in ("A", "B")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("freeze_after", "freze_after", "did you mean 'freeze_after'"),
        ('"env.1.temperature_c"', '"env.1.temperature_k"', "did you mean 'temperature_c'"),
        ('"i16"', '"i61"', "type 'i61' is unknown"),
        ("scale = 0.1", "scale = '0.1'", "scale"),
        ('kind = "sensor"', 'kind = "senser"', "did you mean 'sensor'"),
        ("function = 4", "function = 6", "transport.function"),
        ("address = 0x0001", "address = 70000", "outside 0..65535"),
        ("vendor =", "vendor", "not valid TOML"),
        ('vendor = "generic"', "", "key 'vendor' is missing"),
        ("minimum = -40", "minimum = 400", "minimum must be below maximum"),
        ('quantity = "env.1.humidity_pct"', 'quantity = "env.1.temperature_c"', "given twice"),
    ],
)
def test_a_wrong_profile_names_file_key_and_remedy(tmp_path, old, new, says):
    text = (BUILT_IN / "xy_md02.toml").read_text()
    text = "freeze_after = 0\n" + text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
