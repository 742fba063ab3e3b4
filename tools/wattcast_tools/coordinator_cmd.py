"""Run a coordinator: it leads, or waits to lead, over etcd.

Agents find it by zeroconf, or by an address in their rack file. Its page and REST API are served at
``listen.rest``. Without ``etcd.endpoints`` it starts an etcd as a child, data in state_dir.

With --backup, --restore or --export it works on the database (``store.url``) and ends. A backup is
a folder of Parquet files that restores into DuckDB and PostgreSQL alike; of a PostgreSQL it may be
taken at any time, of a DuckDB file while no coordinator runs (a running one takes its own:
store.backup_dir).

examples: wattcast coordinator coordinator.toml
          wattcast coordinator coordinator.toml --backup backups/before-upgrade
          wattcast coordinator new.toml --restore backups/before-upgrade
          wattcast coordinator coordinator.toml --export july.parquet --table signatures_1m
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wattcast_configs.control import Control


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast coordinator``."""
    parser.add_argument("control", type=Path, help="the coordinator file (TOML)")
    parser.add_argument(
        "--ready", type=Path, metavar="FILE", help="write the bound endpoints here (JSON) when up"
    )

    once = parser.add_mutually_exclusive_group()
    once.add_argument("--backup", type=Path, metavar="DIR", help="copy the database into DIR, end")
    once.add_argument("--restore", type=Path, metavar="DIR", help="load DIR into an empty one, end")
    once.add_argument(
        "--export", type=Path, metavar="FILE", help="write rows to FILE (.arrow, .parquet), end"
    )
    parser.add_argument("--table", default="signatures", help="to export (default signatures)")
    parser.add_argument("--since", type=_time, default=_time("1970-01-01"), metavar="TIME")
    parser.add_argument(
        "--until", type=_time, default=_time("9999-01-01"), metavar="TIME", help="ISO 8601, UTC"
    )


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT, or do what is to be done once."""
    from wattcast_configs.files import load_control

    control = load_control(args.control)
    if args.backup or args.restore or args.export:
        return _once(args, control)
    return _serve(args, control)


def _serve(args: argparse.Namespace, control: "Control") -> int:
    import asyncio
    import logging

    from wattcast_coordinator.run import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(serve(control, args.control.parent, args.ready))
    return 0


def _once(args: argparse.Namespace, control: "Control") -> int:
    """Work on the database; nothing else is started."""
    from wattcast_coordinator.store import backup, export
    from wattcast_coordinator.store.migrations import migrate
    from wattcast_coordinator.store.open import engine_of

    engine = engine_of(control, args.control.parent)
    try:
        if args.restore:
            rows = backup.restore(engine, args.restore, print)
        elif args.backup:
            migrate(engine)
            rows = backup.backup(engine, args.backup, print)
        else:
            migrate(engine)
            rows = export.export(engine, args.table, args.export, (args.since, args.until))
    finally:
        engine.close()
    print(f"{rows} rows")
    return 0


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
