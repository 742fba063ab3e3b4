"""Watch an overload being averted, on this machine, in about three minutes.

Starts a simulated room of three feeds and at least three racks (real Modbus TCP devices, real
HTTP workloads with state on disk, real node_exporter endpoints), an etcd, a coordinator, one
agent a rack and a reverse proxy. The load drifts until feed A heads for its limit and the loss of
A would overload B; Wattcast sees it coming and acts; then A is lost. Two further rooms live through
the same day without control and with a reactive guard band. Ends with a table.

example: wattcast demo --seed 2 --report report.json
         wattcast demo --keep        (stays up afterwards: look at the page, kill things)
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast demo``."""
    parser.add_argument("--seed", type=int, default=1, help="which day (default %(default)s)")
    parser.add_argument("--racks", type=int, default=3, help="at least 3 (default %(default)s)")
    parser.add_argument(
        "--duration", type=float, default=100.0, metavar="MIN", help="data minutes (default 100)"
    )
    parser.add_argument(
        "--speed", type=float, default=75.0, help="data seconds a real second (default 75)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="stay up after the story, until Ctrl-C")
    parser.add_argument(
        "--no-control", action="store_true", help="watch only: every feed in mode observe"
    )
    parser.add_argument(
        "--proxy", choices=("envoy", "haproxy"), default="", help="default: haproxy if installed"
    )
    parser.add_argument("--json", action="store_true", help="print the report on stdout")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 if the story ended."""
    import asyncio

    from wattcast_core.errors import ConfigError
    from wattcast_tools.demo.story import Options, tell

    if args.racks < 3 or args.speed <= 0 or args.duration <= 0:
        raise ConfigError("demo: --racks must be at least 3, --speed and --duration above 0")
    if args.speed > 300:
        raise ConfigError("demo: --speed above 300 leaves less than one real second a step")
    options = Options(
        seed=args.seed,
        racks=args.racks,
        duration_min=args.duration,
        speed=args.speed,
        report=args.report,
        keep=args.keep,
        control=not args.no_control,
        proxy=args.proxy,
        json=args.json,
    )
    return asyncio.run(tell(options))
