"""From the agents' streams into the database, while dashboards ask and the process is killed.

A thousand servers send as fast as they are acknowledged, through gRPC into the store. The ingest
process is killed (SIGKILL) and started again; agents replay what was not acknowledged, and some of
what was. Then every acknowledged row is looked for. A value is one measured quantity of one server
at one step; a row has 24. Per core means: per CPU second of the ingest process in all its lives,
start-up and queries included, and of the PostgreSQL that the benchmark starts. Queries: the last
hour of a server, and all feeds of 24 hours by minute. Where VictoriaMetrics is installed, the same
rows go into it over its own protocol, with kills, for comparison.

examples: wattcast bench ingest --json
          wattcast bench ingest --kills 20 --engine postgresql
"""

import argparse
import sys
from typing import Any

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench ingest``."""
    parser.add_argument("--engine", choices=("duckdb", "postgresql"), default="duckdb")
    parser.add_argument("--kills", type=int, default=3, help="of the ingest process (default 3)")
    parser.add_argument(
        "--seconds", type=float, help="how long to send (default 60, at least 5 a life)"
    )
    parser.add_argument("--racks", type=int, default=25, help="agents (default 25)")
    parser.add_argument("--servers", type=int, default=40, help="a rack (default 40)")
    parser.add_argument(
        "--history-hours", type=int, default=24, help="there before, 1 to 24 (default 24)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Run the trial, and the peer; 1 if a row was lost or is there twice."""
    import json

    from wattcast_core.errors import ConfigError
    from wattcast_tools.ingest import victoria
    from wattcast_tools.ingest.load import Room
    from wattcast_tools.ingest.trial import Plan

    if min(args.racks, args.servers) < 1 or args.kills < 0:
        raise ConfigError("--racks and --servers must be at least 1, --kills at least 0")
    if not 1 <= args.history_hours <= 24:
        raise ConfigError("--history-hours must be 1 to 24")
    seconds = args.seconds or max(60.0, 5.0 * (args.kills + 1))
    plan = Plan(
        args.engine, seconds, args.kills, args.history_hours, Room(args.racks, args.servers)
    )
    result = _trial(plan)
    if peer := victoria.trial(plan.room):
        result["victoriametrics"] = peer
    print(json.dumps(result) if args.json else _table(result))
    return 1 if result["lost_rows"] or result["duplicate_rows"] else 0


def _trial(plan: Any) -> Json:
    import tempfile

    from wattcast_tools.ingest import trial
    from wattcast_tools.ingest.postgres_server import PostgresServer

    if plan.engine == "duckdb":
        with tempfile.TemporaryDirectory(prefix="wattcast-ingest-") as folder:
            return trial.run(plan, f"duckdb:{folder}/signatures.duckdb")
    server = PostgresServer()
    try:
        print("starting PostgreSQL", file=sys.stderr)
        server.create()
        server.start()
        return trial.run(plan, server.url(), server)
    finally:
        server.remove()


def _table(result: Json) -> str:
    lines = []
    for name, value in result.items():
        facts = value.items() if isinstance(value, dict) else [("", value)]
        lines += [f"{f'{name} {key}'.strip():40} {fact}" for key, fact in facts]
    return "\n".join(lines)
