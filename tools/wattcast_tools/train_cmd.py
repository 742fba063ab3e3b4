"""``wattcast train``: train the base model from recordings, in a process of its own.

Two files come out, the servers' LSTM and the network of sums, and a manifest that says where they
come from and how good they are. A training that was interrupted goes on after its last whole epoch
when it is started again with the same settings.

example: wattcast train --base --data recordings --out model
"""

import argparse
import contextlib
import json
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--base", action="store_true", required=True, help="the base model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the recordings")
    parser.add_argument(
        "--out", type=Path, default=Path("model"), metavar="DIR", help="default: ./model"
    )
    parser.add_argument("--epochs", type=int, default=8, help="at most (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument(
        "--limit-windows", type=int, default=100_000, metavar="N", help="default: 100000"
    )
    parser.add_argument(
        "--trained-at",
        type=date.fromisoformat,
        metavar="DATE",
        help="date written into the model (default: today; part of its sha256)",
    )
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Train and report; the training itself reads no clock."""
    from wattcast_coordinator.train.base import Request, train
    from wattcast_core.errors import ConfigError

    if args.epochs < 1 or args.limit_windows < 1:
        raise ConfigError("--epochs and --limit-windows must be at least 1")
    trained_at = args.trained_at or datetime.now(UTC).date()
    request = Request(
        data=args.data,
        out=args.out,
        epochs=args.epochs,
        seed=args.seed,
        windows=args.limit_windows,
        trained_at=trained_at.isoformat(),
        resume=_state(args),
    )
    with contextlib.redirect_stdout(sys.stderr):  # the frameworks print too
        manifest = train(request, lambda line: print(line, flush=True))
    shutil.rmtree(_state(args), ignore_errors=True)
    if args.json:
        print(json.dumps(manifest))
        return 0
    print(f"{args.out / manifest['file']}: {manifest['id']}, sha256 {manifest['sha256']}")
    for name, scores in manifest["scores"].items():
        totals = {k: v["pinball_w"]["total"] for k, v in scores.items() if isinstance(v, dict)}
        print(f"  {name}: pinball W " + ", ".join(f"{k} {v:g}" for k, v in totals.items()))
    return 0


def _state(args: argparse.Namespace) -> Path:
    """Where the state of this training is kept until it is done."""
    settings = f"{args.seed}-{args.limit_windows}-{args.epochs}"
    return Path(args.out) / f".training-{settings}"
