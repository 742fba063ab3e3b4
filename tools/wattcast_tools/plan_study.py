"""The questions that ``wattcast plan`` answers about a room: --what-if and --maintenance."""

import argparse
import importlib
import json

from wattcast_core.errors import ConfigError, Refused
from wattcast_tools import plan_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the questions and where the room comes from."""
    asks = parser.add_argument_group("questions about a room")
    asks.add_argument(
        "--what-if", action="append", metavar="CHANGE", help="'lose feed A', 'add 20 servers to"
        " rack 7' or 'ambient 38'; given several times, all changes together",
    )  # fmt: skip
    asks.add_argument(
        "--maintenance", metavar="WINDOW", help="go or no-go for 'ELEMENT BEGIN/END', e.g. 'UPS-A"
        " 2026-12-01T02:00/06:00' (UTC unless an offset is given)",
    )  # fmt: skip
    asks.add_argument(
        "--without-next-loss", action="store_true",
        help="of --maintenance: do not ask that the room also bears a further loss meanwhile",
    )  # fmt: skip
    plan_state.add_arguments(parser)


def asked(args: argparse.Namespace) -> bool:
    """Whether a question is asked, or a room is only to be recorded.

    Raises:
        ConfigError: neither an instance nor a question is given, or both are.
    """
    study = bool(args.what_if or args.maintenance or args.record)
    if study == bool(args.instance):
        raise ConfigError(
            "give an INSTANCE.npz, or a question: --what-if or --maintenance (see --help)"
        )
    if args.what_if and args.maintenance:
        raise ConfigError("--what-if and --maintenance: ask one after the other")
    return study


def run(args: argparse.Namespace) -> int:
    """Answer; a refusal is JSON too if JSON is wanted."""
    if not args.what_if and not args.maintenance:
        found = plan_state.recording(args)
        told = {"recorded": str(args.record), "now": found.inputs.now.isoformat()}
        print(json.dumps(told) if args.json else f"{args.record}: {found.site.name} recorded")
        return 0
    name = "plan_whatif" if args.what_if else "plan_maintenance"
    try:
        return int(importlib.import_module(f"wattcast_tools.{name}").run(args))
    except Refused as error:
        if not args.json:
            raise
        print(json.dumps({"refused": str(error)}))
        return error.exit_code
