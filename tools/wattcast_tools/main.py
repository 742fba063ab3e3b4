"""The ``wattcast`` command: imports the standard library only, and each subcommand when called."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from wattcast_core.errors import ConfigError, MissingExtraError, WattcastError

EPILOG = """\
exit codes: 0 done, 1 failed, 2 usage or configuration, 3 explained refusal,
4 device or peer unreachable, 5 missing extra"""


class Command(NamedTuple):
    """A subcommand: the module that holds it, the extra it needs, a line of help."""

    module: str
    extra: str
    help: str


COMMANDS = {
    "demo": Command("wattcast_tools.demo_cmd", "tools", "watch an overload being averted"),
    "agent": Command("wattcast_tools.agent_cmd", "agent", "run a rack agent"),
    "coordinator": Command("wattcast_tools.coordinator_cmd", "coordinator", "run a coordinator"),
    "train": Command("wattcast_tools.train_cmd", "train", "train the forecast model"),
    "backtest": Command("wattcast_tools.backtest_cmd", "train", "judge forecasts on a recording"),
    "plan": Command("wattcast_tools.plan_cmd", "coordinator", "solve a planning problem"),
    "bench": Command("wattcast_tools.bench_cmd", "tools", "measure, over many seeds"),
    "topology": Command("wattcast_tools.topology_cmd", "tools", "look at a site's power graph"),
    "tech": Command("wattcast_tools.tech_cmd", "agent", "read devices as a technician"),
    "config": Command("wattcast_tools.config_cmd", "", "check configuration files"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((w for w in words if not w.startswith("-")), "")
    try:
        args = _parser(name).parse_args(words)
        return int(args.run(args))
    except WattcastError as error:
        print(f"wattcast: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wattcast",
        description="Forecast the power of every server, prove N-1, act before the overload.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subs = parser.add_subparsers(metavar="COMMAND", required=True)
    for key, command in COMMANDS.items():
        sub = subs.add_parser(key, help=command.help, description=command.help)
        if key == name:
            _load(sub, command)
    return parser


def _load(parser: argparse.ArgumentParser, command: Command) -> None:
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        if error.name == command.module:
            raise ConfigError(f"{command.module} is not part of this installation") from error
        raise MissingExtraError(error.name or command.module, command.extra) from error
    parser.description = module.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
