"""Run the agent of one rack: read its devices, forecast, report, and obey within interlocks.

A technician at the rack holds, releases or commissions a transfer switch with the same command,
beside the running agent.

examples: wattcast agent rack-r1.toml
          wattcast agent rack-r1.toml --hold ats-r1
          wattcast agent rack-r1.toml --commission ats-r1 --witness "J. Doe"
"""

import argparse
import logging
import sys
from pathlib import Path

from wattcast_core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``wattcast agent``."""
    parser.add_argument("rack", type=Path, metavar="RACK.toml", help="the rack file")
    parser.add_argument(
        "--coordinator",
        default="",
        metavar="HOST:PORT",
        help="coordinator's address (default: the rack file's, else found by zeroconf)",
    )
    technician = parser.add_mutually_exclusive_group()
    technician.add_argument(
        "--hold", default="", metavar="ATS", help="bar every command to this transfer switch"
    )
    technician.add_argument(
        "--commission",
        default="",
        metavar="ATS",
        help="prove this transfer switch: there and back, with the loads behind it (minutes)",
    )
    parser.add_argument("--witness", default="", metavar="NAME", help="who watches a commissioning")
    technician.add_argument(
        "--release", default="", metavar="ATS", help="end a hold, and a lock-out after a check"
    )


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; errors carry their exit code."""
    from wattcast_agent import run as agent

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for chatty in ("httpx", "pymodbus", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    if args.commission:
        if not args.witness:
            raise ConfigError("--commission needs a witness; add --witness NAME")
        agent.commission(args.rack, args.commission, args.witness, print)
    elif args.hold or args.release:
        agent.hold(args.rack, args.hold or args.release, release=bool(args.release))
    else:
        agent.serve(args.rack, args.coordinator)
    return 0
