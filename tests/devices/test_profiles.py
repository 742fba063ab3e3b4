"""Every profile that ships loads, and its vectors mean what they say."""

import pytest

from wattcast_agent.devices.decode import decode
from wattcast_configs.profiles import BUILT_IN, load_profile, load_profiles
from wattcast_core.errors import ConfigError
from wattcast_core.samples import Quality

PROFILES = load_profiles()


def words_of(profile, vector):
    functions = {p.function or profile.transport.function for p in profile.point}
    return {
        (function, int(start, 0) + i): word
        for start, block in vector.registers.items()
        for i, word in enumerate(block)
        for function in functions
    }


@pytest.mark.parametrize("name", PROFILES)
def test_vectors_decode_as_stated(name):
    profile = PROFILES[name]
    for vector in profile.vector:
        got = decode(profile, words_of(profile, vector))
        for quantity, value in vector.values.items():
            assert got[quantity].quality is Quality.GOOD, (vector.note, quantity)
            assert got[quantity].value == pytest.approx(value, rel=1e-6), (vector.note, quantity)
        for quantity in vector.invalid:
            assert got[quantity].quality is Quality.INVALID, (vector.note, quantity)


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_has_a_vector_and_a_register_left_out_is_missing(name):
    profile = PROFILES[name]
    tested = {q for vector in profile.vector for q in vector.values}
    assert tested == {p.quantity for p in profile.point}
    assert {r.quality for r in decode(profile, {}).values()} == {Quality.MISSING}


def test_commands_of_uncertain_facts_are_for_the_lab():
    for profile in PROFILES.values():
        for command in profile.command:
            assert command.idempotent
            assert profile.lab_only or command.certainty in ("A", "B")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("freeze_after", "freze_after", "did you mean 'freeze_after'"),
        ('"temperature_c"', '"temperature_k"', "did you mean 'temperature_c'"),
        ('"i16"', '"i61"', "type 'i61' is unknown"),
        ("scale = 0.1", "scale = '0.1'", "scale"),
        ('kind = "sensor"', 'kind = "senser"', "did you mean 'sensor'"),
        ("function = 4", "function = 6", "transport.function"),
        ("address = 0x0001", "address = 70000", "outside 0..65535"),
        ("vendor =", "vendor", "not valid TOML"),
        ('vendor = "generic"', "", "key 'vendor' is missing"),
        ("minimum = -40", "minimum = 400", "minimum must be below maximum"),
        ('quantity = "humidity_pct"', 'quantity = "temperature_c"', "given twice"),
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
