"""The technician's view of a device: read it once, or list the device profiles.

Examples:
  wattcast tech profiles
  wattcast tech read --profile eastron_sdm630 --host 192.0.2.10 --port 502 --unit 2
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_agent.devices.compose import Parts
    from wattcast_configs.profile import Profile

_UNITS = {
    "w": "W",
    "va": "VA",
    "v": "V",
    "a": "A",
    "hz": "Hz",
    "wh": "Wh",
    "c": "degC",
    "pct": "%",
    "deg": "deg",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast tech``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    read = actions.add_parser("read", help="read a device once over Modbus TCP")
    read.add_argument("--profile", required=True, help="name of a profile, or a .toml file")
    read.add_argument("--host", required=True, help="address of the device or its gateway")
    read.add_argument("--port", type=int, default=502, help="TCP port (default 502)")
    read.add_argument("--unit", type=int, default=1, help="Modbus unit (device id), default 1")
    profiles = actions.add_parser("profiles", help="list the profiles that ship")
    for action in (read, profiles):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Run one action; errors carry their exit code (4 = unreachable)."""
    return _read(args) if args.action == "read" else _profiles(as_json=args.json)


def _profiles(*, as_json: bool) -> int:
    from wattcast_configs.profiles import load_profiles

    rows = [_profile_row(profile) for profile in load_profiles().values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    _print_table(
        [("profile", "kind", "certainty", "writes", "models")]
        + [(r["name"], r["kind"], r["certainty"], _writes(r), ", ".join(r["models"])) for r in rows]
    )
    print("certainty: A maker's schema or recording, B maker's page or working driver, C weaker")
    return 0


def _profile_row(profile: "Profile") -> dict[str, Any]:
    return {
        "name": profile.name,
        "vendor": profile.vendor,
        "models": list(profile.models),
        "kind": profile.kind,
        "certainty": profile.certainty,
        "lab_only": profile.lab_only,
        "quantities": {p.quantity: p.certainty or profile.certainty for p in profile.point},
        "commands": [command.name for command in profile.command],
        "sources": list(profile.sources),
    }


def _writes(row: dict[str, Any]) -> str:
    commands = ", ".join(row["commands"]) or "-"
    return f"{commands} (lab only)" if row["commands"] and row["lab_only"] else commands


def _read(args: argparse.Namespace) -> int:
    import asyncio
    from datetime import UTC, datetime

    from wattcast_agent.devices.once import read_once
    from wattcast_configs.rack import Device

    profile = _profile(args.profile)
    name = f"{args.host}:{args.port}/{args.unit}"
    device = Device(name, profile.name, args.host, args.port, args.unit)
    parts = asyncio.run(read_once(device, profile, datetime.now(UTC)))
    if args.json:
        print(json.dumps(_as_json(parts, profile), indent=2))
    else:
        _print_reading(parts)
    return 0


def _profile(name: str) -> "Profile":
    import difflib

    from wattcast_configs.profiles import load_profile, load_profiles
    from wattcast_core.errors import ConfigError

    if name.endswith(".toml"):
        return load_profile(Path(name))
    profiles = load_profiles()
    if name not in profiles:
        close = difflib.get_close_matches(name, profiles, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(profiles)}"
        raise ConfigError(f"--profile: '{name}' is unknown; {hint}")
    return profiles[name]


def _as_json(parts: "Parts", profile: "Profile") -> dict[str, Any]:
    samples, state = parts
    return {
        "device": state.device,
        "profile": profile.name,
        "certainty": profile.certainty,
        "quality": state.quality.value,
        "problem": state.problem,
        "readings": [
            {
                "quantity": s.quantity,
                "value": s.value if math.isfinite(s.value) else None,
                "unit": _unit(s.quantity),
                "quality": s.quality.value,
            }
            for s in samples
        ],
    }


def _print_reading(parts: "Parts") -> None:
    samples, state = parts
    _print_table(
        [("quantity", "value", "unit", "quality")]
        + [(s.quantity, _text(s.value), _unit(s.quantity), s.quality.value) for s in samples]
    )
    if state.problem:
        print(f"{state.device}: {state.problem}", file=sys.stderr)


def _text(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else "-"


def _unit(quantity: str) -> str:
    return _UNITS.get(quantity.rsplit("_", 1)[-1], "")


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
