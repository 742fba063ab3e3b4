"""Write what is generated: ``python -m wattcast_tools.docs FOLDER``.

``devices.md`` comes from the device profiles, ``cli.md`` from the help texts of ``wattcast``, and
the schema beside the profiles from the dataclasses that read them.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wattcast_configs.profile import Profile
from wattcast_configs.profiles import BUILT_IN, SCHEMA
from wattcast_core.errors import ConfigError, WattcastError
from wattcast_tools.docs_devices import MADE, devices_page
from wattcast_tools.main import COMMANDS
from wattcast_tools.schema import json_schema


def main(argv: Sequence[str] | None = None) -> int:
    """Write pages into a folder, and the schema; 0, or the exit code of a WattcastError."""
    parser = argparse.ArgumentParser(prog="python -m wattcast_tools.docs", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the pages are kept")
    folder = parser.parse_args(argv).folder
    try:
        for name, page in (("devices.md", devices_page), ("cli.md", cli_page)):
            (folder / name).write_text(page(), encoding="utf-8")
        (BUILT_IN / SCHEMA).write_text(profile_schema(), encoding="utf-8")
    except WattcastError as error:
        print(f"docs: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def profile_schema() -> str:
    """JSON Schema of a device profile."""
    return json.dumps(json_schema(Profile, "A device family of Wattcast"), indent=1) + "\n"


def cli_page() -> str:
    """The help text of ``wattcast`` and of every subcommand, as Markdown.

    Raises:
        ConfigError: a subcommand cannot show its help.
    """
    sections = [f"## wattcast {name}\n\n{_help(name)}" for name in COMMANDS]
    return "\n\n".join((f"{MADE}\n# Command line\n\n{_help()}", *sections)) + "\n"


def _help(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wattcast_tools.main", *words, "--help"],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise ConfigError(f"wattcast {' '.join(words)} --help failed ({reason}); mend the command")
    return f"```text\n{done.stdout.strip()}\n```"


if __name__ == "__main__":
    sys.exit(main())
