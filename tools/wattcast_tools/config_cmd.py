"""Check site, rack and coordinator files; every wrong key is named with its remedy.

example: wattcast config site.toml rack-r1.toml coordinator.toml
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from wattcast_core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast config``."""
    parser.add_argument("files", nargs="+", type=Path, help="TOML files; the kind is recognised")
    parser.add_argument("--json", action="store_true", help="print the parsed values as JSON")


def run(args: argparse.Namespace) -> int:
    """Check every file; raise ConfigError at the first wrong one."""
    parsed = {str(path): _load(path) for path in args.files}
    if args.json:
        print(json.dumps(parsed, indent=2))
        return 0
    for path, values in parsed.items():
        print(f"{path}: ok ({', '.join(values)})")
    return 0


def _load(path: Path) -> dict[str, Any]:
    from wattcast_configs import files, strict

    keys = strict.read_toml(path).keys()
    if "agent" in keys:
        return dataclasses.asdict(files.load_rack(path))
    if "listen" in keys or "state_dir" in keys:
        return dataclasses.asdict(files.load_control(path))
    if "feed" in keys:
        return dataclasses.asdict(files.load_site(path))
    raise ConfigError(
        f"{path}: neither a rack file ([agent]), a coordinator file (state_dir)"
        " nor a site file ([[feed]])"
    )
