"""Run a coordinator: it leads, or waits to lead, over etcd.

Agents find it by zeroconf, or by an address in their rack file. Its page and REST API are served at
``listen.rest``. Without ``etcd.endpoints`` it starts an etcd as a child, data in state_dir.

example: wattcast coordinator coordinator.toml
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast coordinator``."""
    parser.add_argument("control", type=Path, help="the coordinator file (TOML)")
    parser.add_argument(
        "--ready", type=Path, metavar="FILE", help="write the bound endpoints here (JSON) when up"
    )


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    import asyncio
    import logging

    from wattcast_configs.files import load_control
    from wattcast_coordinator.run import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    control = load_control(args.control)
    asyncio.run(serve(control, args.control.parent, args.ready))
    return 0
