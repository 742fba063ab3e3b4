"""``wattcast train``: train forecast models, and say which of them serve.

From recordings (--base), or from a signature database (--from-store): one model for all servers,
and with --all-applications one for each application that has enough data. What was finished stays
finished if a training is interrupted and started again; --base goes on after its last whole epoch.
Each model from a database is judged on the newest days, which it did not learn from, against the
one in service, persistence and seasonal naive.

With --coordinator: what the models of a running coordinator are, and an operator's word on them.

examples: wattcast train --base --data recordings --out model
          wattcast train --from-store duckdb:state/signatures.duckdb --all-applications --out models
          wattcast train --from-store postgresql://w@db/w --all-applications --dask tcp://head:8786
          wattcast train --promote models/all --coordinator http://127.0.0.1:7480
          wattcast train --rollback --application web --coordinator http://127.0.0.1:7480
          wattcast train --models --coordinator http://127.0.0.1:7480
"""

import argparse
import contextlib
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--base", action="store_true", help="train the base model from recordings")
    what.add_argument(
        "--from-store",
        metavar="URL|FILE",
        help="train from duckdb:FILE, postgresql://... or a .parquet file of a coordinator",
    )
    what.add_argument("--models", action="store_true", help="list a coordinator's models")
    what.add_argument(
        "--promote", metavar="DIR|ID", help="let a model serve: its folder, id or sha256"
    )
    what.add_argument("--rollback", action="store_true", help="withdraw a champion")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the recordings, for --base")
    parser.add_argument(
        "--out", type=Path, default=Path("model"), metavar="DIR", help="default: ./model"
    )
    parser.add_argument("--epochs", type=int, default=10, help="default: 10")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument(
        "--limit-windows", type=int, default=100_000, metavar="N", help="default: 100000"
    )
    parser.add_argument(
        "--trained-at",
        type=date.fromisoformat,
        metavar="DATE",
        help="date written into the base model (default: today; part of its sha256)",
    )
    _add_store(parser.add_argument_group("from a database"))
    _add_coordinator(parser.add_argument_group("of a coordinator"))
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_store(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--application", default="", help="only this one; * = all servers together")
    group.add_argument("--all-applications", action="store_true", help="each one with enough data")
    group.add_argument("--days", type=float, default=60.0, help="to read (default: 60)")
    group.add_argument(
        "--judge-days", type=float, default=2.0, help="newest, only to judge by (default: 2)"
    )
    group.add_argument(
        "--until", type=datetime.fromisoformat, metavar="T", help="end of the data (default: all)"
    )
    group.add_argument(
        "--least-server-days",
        type=float,
        default=14.0,
        metavar="N",
        help="measured, for a model of an application's own (default: 14)",
    )
    group.add_argument(
        "--champion",
        action="append",
        default=[],
        metavar="APP=FILE",
        help="the model in service; *=FILE for all others (default: the one that ships)",
    )
    group.add_argument(
        "--margin", type=float, default=0.02, help="by which a challenger must win (default: 0.02)"
    )
    group.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    group.add_argument("--ray", default="", metavar="ADDRESS", help="train on a Ray cluster")
    group.add_argument("--dask", default="", metavar="ADDRESS", help="train on a Dask cluster")
    group.add_argument("--nice", type=int, default=0, help="let others go first: 0 to 19")


def _add_coordinator(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--coordinator", default="", metavar="URL", help="its REST address")
    group.add_argument("--why", default="by an operator", help="goes into the audit")


def run(args: argparse.Namespace) -> int:
    """Train and report, or ask a coordinator."""
    from wattcast_core.errors import ConfigError

    if args.models or args.promote or args.rollback:
        if not args.coordinator:
            raise ConfigError("give --coordinator URL, e.g. http://127.0.0.1:7480")
        return _ask(args)
    if args.epochs < 1 or args.limit_windows < 1:
        raise ConfigError("--epochs and --limit-windows must be at least 1")
    return _base(args) if args.base else _from_store(args)


def _ask(args: argparse.Namespace) -> int:
    from wattcast_tools.training.remote import Remote, table

    remote = Remote(args.coordinator)
    if not args.models:
        print(remote.act(args), file=sys.stderr)
    models = remote.models()
    print(json.dumps(models) if args.json else table(models))
    return 0


def _from_store(args: argparse.Namespace) -> int:
    from wattcast_core.errors import ConfigError
    from wattcast_tools.training.from_store import table, train

    if args.judge_days <= 0 or args.days <= args.judge_days:
        raise ConfigError("--judge-days must be above 0 and below --days")
    if not 0 <= args.nice <= 19 or args.workers < 0:
        raise ConfigError("give --nice from 0 to 19, --workers above 0")
    if args.until is not None and args.until.tzinfo is None:
        args.until = args.until.replace(tzinfo=UTC)
    with contextlib.redirect_stdout(sys.stderr):  # the frameworks print too
        result = train(args)
    print(json.dumps(result) if args.json else table(result))
    return 0


def _base(args: argparse.Namespace) -> int:
    """Train the base model; the training itself reads no clock."""
    from wattcast_coordinator.train.base import Request, train
    from wattcast_core.errors import ConfigError

    if args.data is None:
        raise ConfigError("--base needs --data DIR, the recordings")
    trained_at = args.trained_at or datetime.now(UTC).date()
    request = Request(
        data=args.data,
        out=args.out,
        epochs=args.epochs,
        seed=args.seed,
        windows=args.limit_windows,
        trained_at=trained_at.isoformat(),
    )
    with contextlib.redirect_stdout(sys.stderr):  # the frameworks print too
        manifest = train(request, lambda line: print(line, flush=True))
    if args.json:
        print(json.dumps(manifest))
        return 0
    print(f"{args.out / manifest['file']}: {manifest['id']}, sha256 {manifest['sha256']}")
    for name, scores in manifest["scores"].items():
        totals = {k: v["pinball_w"]["total"] for k, v in scores.items() if isinstance(v, dict)}
        print(f"  {name}: pinball W " + ", ".join(f"{k} {v:g}" for k, v in totals.items()))
    return 0
