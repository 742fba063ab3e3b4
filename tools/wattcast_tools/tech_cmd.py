"""The technician's view of a device: what it is, what it reads, now or again and again.

A device is given as a URL, or as an entry of a rack file with its profile and login; without
--profile it is identified by what it shows.

Examples:
  wattcast tech probe --url 'snmp://192.0.2.10?community=public'
  wattcast tech read --url 'modbus-tcp://192.0.2.11:502?device_id=2' --profile eastron_sdm630
  wattcast tech watch --url 'modbus-rtu:///dev/ttyUSB0?device_id=1&baud=9600' --interval 2
  wattcast tech read --url 'snmp://operator@192.0.2.12?auth=SHA256&priv=AES' --json
  wattcast tech read --rack rack-r1.toml --device pdu-r1-a
  wattcast tech profiles

Secrets of a URL come from the environment: WATTCAST_SNMP_COMMUNITY (v2c, if not in the URL),
WATTCAST_SNMP_AUTH_KEY and WATTCAST_SNMP_PRIV_KEY (v3), WATTCAST_PASSWORD (Redfish, NUT).

Exit codes: 0 identified and at least one point is good; 1 identified, but no point is good;
2 usage; 3 the device is of another family or of none known (the text says what it is), or it
refuses the login or the version; 4 no connection, connection refused, or no answer in time;
5 a missing extra.
"""

import argparse
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_configs.profile import Profile

_READ = """\
Identify a device, unless --profile says what it is, and read it once.

  wattcast tech read --url 'snmp://192.0.2.10?community=public'
  wattcast tech read --url 'snmp://192.0.2.10?community=public' --json | jq .points
  wattcast tech read --url nut://192.0.2.20/ups --timeout 30"""
_WATCH = """\
Read a device again and again: a live table in a terminal (what changed is green, invalid red,
missing dim), else a line a reading at first and then one for each that changed. A device that
does not answer for a while is waited for.

  wattcast tech watch --url 'modbus-tcp://192.0.2.11?device_id=1' --interval 0.5
  wattcast tech watch --url 'snmp://192.0.2.10?community=public' --count 60 --json > pdu.jsonl"""
_PROBE = """\
Find out what a device is: which profiles were tried, why each does not fit, what the device reads,
and what it can be commanded. Nothing is written.

  wattcast tech probe --url redfish://192.0.2.30
  wattcast tech probe --url 'modbus-tcp://192.0.2.11?device_id=7' --json | jq .candidates"""

_PROFILES = """\
List the families of devices that are known: kind, protocol, how certain the facts are, what can be
commanded, and models. docs/devices.md says more; a profile of your own is tried with
--profile ./mine.toml.

  wattcast tech profiles --json | jq -r '.[] | select(.protocol == "snmp") | .name'"""
_LONGEST_S = 3600.0  # nobody stands at a rack for longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast tech``."""
    from wattcast_configs.address import EXAMPLES

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    read = actions.add_parser("read", help="read a device once", description=_READ)
    watch = actions.add_parser("watch", help="read it again and again", description=_WATCH)
    probe = actions.add_parser("probe", help="find out what it is", description=_PROBE)
    profiles = actions.add_parser(
        "profiles", help="list the profiles that ship", description=_PROFILES
    )
    for action in (read, watch, probe, profiles):
        action.formatter_class = argparse.RawDescriptionHelpFormatter
    for action in (read, watch, probe):
        action.epilog = (
            "addresses (put them into quotes: '?' and '&' mean something to a shell):\n  "
        )
        action.epilog += "\n  ".join(EXAMPLES)
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("--url", help="address of the device; examples below")
        which.add_argument("--rack", metavar="FILE", help="rack file that has the device")
        action.add_argument("--device", default="", metavar="ID", help="which device of --rack")
        action.add_argument("--profile", default="", help="name of a profile, or a .toml file")
        action.add_argument(
            "--timeout",
            type=_seconds,
            default=10.0,
            metavar="S",
            help="longest wait (default 10 s)",
        )
    watch.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="time between reads (default 1 s)",
    )
    watch.add_argument(
        "--count", type=_count, default=0, metavar="N", help="stop after N reads (default: Ctrl-C)"
    )
    for action in (read, watch, probe, profiles):
        action.add_argument(
            "--json", action="store_true", help="print JSON (watch: one document a line)"
        )


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) <= _LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text}: give seconds, above 0 and up to {_LONGEST_S:g}")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: give a number of reads, or leave it out")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run one action; errors carry their exit code."""
    if args.action == "profiles":
        return _profiles(as_json=args.json)
    from wattcast_tools import tech_device

    return tech_device.run(args)


def _profiles(*, as_json: bool) -> int:
    from wattcast_configs.profiles import load_profiles
    from wattcast_tools.tech_text import print_table

    rows = [_profile_row(profile) for profile in load_profiles().values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    columns = ("name", "kind", "protocol", "certainty")
    print_table(
        [("profile", *columns[1:], "writes", "models")]
        + [(*(r[c] for c in columns), _writes(r), ", ".join(r["models"])) for r in rows]
    )
    print("certainty: A maker's schema or recording, B maker's page or working driver, C weaker")
    return 0


def _profile_row(profile: "Profile") -> dict[str, Any]:
    points = {p.quantity: p for p in profile.point}
    points |= {f"{r.name}.{p.quantity}": p for r in profile.repeat for p in r.point}
    return {
        "name": profile.name,
        "vendor": profile.vendor,
        "models": list(profile.models),
        "kind": profile.kind,
        "protocol": profile.protocol,
        "certainty": profile.certainty,
        "lab_only": profile.lab_only,
        "quantities": {name: p.certainty or profile.certainty for name, p in points.items()},
        "commands": [command.name for command in profile.command],
        "sources": list(profile.sources),
    }


def _writes(row: dict[str, Any]) -> str:
    commands = ", ".join(row["commands"]) or "-"
    return f"{commands} (lab only)" if row["commands"] and row["lab_only"] else commands
