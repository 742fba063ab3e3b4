"""The generated pages in docs/ are those of today's profiles and commands."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from wattcast_configs.profiles import BUILT_IN, SCHEMA, load_profile, load_profiles
from wattcast_core.errors import ConfigError
from wattcast_tools import docs
from wattcast_tools.main import COMMANDS

FOLDER = Path(__file__).parents[2] / "docs"


def test_the_committed_device_page_is_the_generated_one():
    committed = (FOLDER / "devices.md").read_text(encoding="utf-8")
    assert committed == docs.devices_page(), "run `make docs` and commit docs/devices.md"


def test_the_device_page_shows_every_point_and_command():
    page = docs.devices_page()
    for profile in load_profiles().values():
        section = page.split(f"## {profile.name}\n")[1].split("\n## ")[0]
        named = [(point.quantity, point) for point in profile.point]
        named += [(f"{r.name}.{p.quantity}", p) for r in profile.repeat for p in r.point]
        for name, point in named:
            assert f"| {name} |" in section
            assert f"| {point.key or f'0x{point.address:04X}'} |" in section
        for command in profile.command:
            assert f"| {command.name} |" in section
        assert all(source in section for source in profile.sources)


def test_the_committed_schema_is_the_generated_one_and_every_profile_fits_it():
    committed = (BUILT_IN / SCHEMA).read_text(encoding="utf-8")
    assert committed == docs.profile_schema(), f"run `make docs` and commit {SCHEMA}"
    validator = jsonschema.Draft202012Validator(json.loads(committed))
    for path in BUILT_IN.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"#:schema ./{SCHEMA}\n"), f"{path.name}: for editors"
        assert not [e.message for e in validator.iter_errors(tomllib.loads(text))], path.name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("address = 0x0001", 'address = "one"'),
        ("minimum = -40", "minimun = -40"),
        ('kind = "sensor"', 'kind = "senser"'),
        ('models = ["XY-MD02", "SHT20 class"]', ""),
    ],
)
def test_the_schema_finds_what_the_loader_finds(tmp_path, old, new):
    text = (BUILT_IN / "xy_md02.toml").read_text(encoding="utf-8").replace(old, new, 1)
    schema = json.loads(docs.profile_schema())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(text)))
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_profile(path)


def test_the_committed_command_page_shows_every_command():
    page = (FOLDER / "cli.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"## wattcast {name}\n" in page
        assert f"usage: wattcast {name} " in page


def test_a_command_without_help_is_named(mocker):
    mocker.patch.object(docs, "COMMANDS", {"nonsense": None})
    with pytest.raises(ConfigError, match="wattcast nonsense --help failed"):
        docs.cli_page()
