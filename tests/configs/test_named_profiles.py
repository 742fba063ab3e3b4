"""Profiles that a rack file names: shipped ones, or files beside it."""

import pytest

from wattcast_configs.profiles import BUILT_IN, load_named
from wattcast_core.errors import ConfigError


def test_only_named_profiles_are_loaded_also_from_beside_the_rack_file(tmp_path):
    (tmp_path / "ours.toml").write_bytes((BUILT_IN / "xy_md02.toml").read_bytes())
    found = load_named(["ours.toml", "eastron_sdm630", "ours.toml"], tmp_path)
    assert [(key, profile.name) for key, profile in found.items()] == [
        ("ours.toml", "ours"),
        ("eastron_sdm630", "eastron_sdm630"),
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [("eastron_sdm640", "did you mean 'eastron_sdm630'"), ("none.toml", "cannot be read")],
)
def test_a_name_that_is_nowhere_is_told(tmp_path, name, said):
    with pytest.raises(ConfigError, match=said):
        load_named([name], tmp_path)
