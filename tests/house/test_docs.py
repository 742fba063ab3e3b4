"""The generated pages in docs/ are those of today's profiles and commands."""

from pathlib import Path

import pytest

from wattcast_configs.profiles import load_profiles
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
        for point in profile.point:
            assert f"| {point.quantity} |" in section
            assert f"| {point.oid or f'0x{point.address:04X}'} |" in section
        for command in profile.command:
            assert f"| {command.name} |" in section
        assert all(source in section for source in profile.sources)


def test_the_committed_command_page_shows_every_command():
    page = (FOLDER / "cli.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"## wattcast {name}\n" in page
        assert f"usage: wattcast {name} " in page


def test_a_command_without_help_is_named(mocker):
    mocker.patch.object(docs, "COMMANDS", {"nonsense": None})
    with pytest.raises(ConfigError, match="wattcast nonsense --help failed"):
        docs.cli_page()
