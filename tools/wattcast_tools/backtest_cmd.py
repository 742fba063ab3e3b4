"""``wattcast backtest``: forecast a recorded panel from every step, as if it happened now.

PANEL_DIR holds servers.parquet (t, server, power_w, cpu_util 0..1, mem_pct, net_rx_kbs,
net_tx_kbs, disk_r_kbs, disk_w_kbs; one row a server and 5 minutes) and topology.json (servers:
id -> rack and feed_a_share; optional n1_limit_w). The agent's own forecaster walks through it, on
servers and, as series of their own, on the sums of racks, feeds and all servers (n1). Nothing is
fitted on data from --fit-until on; the margins of the calibration go on learning from what has
come, as on the edge. Scores: wattcast = the forecasts written; lstm and naive = its two forecasters
before calibration and choice; summed = forecasts of servers added up as the coordinator does.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_coordinator.train.backtest import Walked
    from wattcast_coordinator.train.backtest_panel import Level, Panel
    from wattcast_core.units import FloatArray

LEVELS = ("server", "rack", "feed", "n1")
_STEPS_A_DAY = 288
_SHOWN = ("answered", "mae_w", "skill", "pinball10_w", "pinball50_w", "pinball90_w", "pinball99_w")
_COVERED = ("coverage90", "coverage99")
_WITH_LIMIT = ("overload_f1", "onset_recall", "onsets")

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("panel", type=Path, metavar="PANEL_DIR", help="servers.parquet and topology.json")
    add("--fit-until", required=True, type=_time, metavar="T", help="ISO time, UTC; judged from it")
    add("--out", required=True, type=Path, metavar="PREDICTIONS.parquet", help="forecasts served")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--model", type=Path, metavar="DIR", help="of `wattcast train` (default: shipped model)"
    )
    which.add_argument(
        "--fit-dir",
        type=Path,
        metavar="DIR",
        help="fit an LSTM on the panel before T (extra train), keep and reuse it there",
    )
    add("--level", action="append", choices=LEVELS, help="only this one (may be repeated)")
    add("--days", type=_positive, metavar="N", help="judge so many days only (default: all)")
    add("--warm-up-days", type=float, default=7.0, metavar="N", help="walked before T (default: 7)")
    add("--lightgbm", action="store_true", help="compare with LightGBM too (extra train)")
    add(
        "--limit-windows",
        type=int,
        default=100_000,
        metavar="N",
        help="to fit on (default: 100000)",
    )
    add("--epochs", type=int, default=5, help="of --fit-dir (default: 5)")
    add("--seed", type=int, default=1, help="of what is fitted (default: 1)")
    add("--json", action="store_true", help="print the scores as JSON")


def run(args: argparse.Namespace) -> int:
    """Walk, compare, write the forecasts, print the scores."""
    from wattcast_coordinator.train import backtest_file, backtest_panel
    from wattcast_core.errors import ConfigError

    if args.warm_up_days < 0 or args.limit_windows < 1 or args.epochs < 1:
        raise ConfigError("--warm-up-days: at least 0; --limit-windows, --epochs: at least 1")
    panel = backtest_panel.read(args.panel, args.fit_until)
    model = _model(args, panel)
    origins = panel.levels[0].channels.shape[1] - panel.split
    if args.days:
        origins = min(origins, round(args.days * _STEPS_A_DAY))
    chosen = [level for level in panel.levels if level.name in (args.level or LEVELS)]
    result: Json = {
        "panel": str(args.panel),
        "fit_until": args.fit_until.isoformat(),
        "model_id": model.id,
        "origins": origins,
        "levels": {},
    }
    served_w: FloatArray | None = None  # of the servers: what sums are made of
    with backtest_file.Writer(args.out) as writer:
        for level in chosen:
            walked, scores = _judged(args, panel, level, model, origins, served_w)
            served_w = walked.quantiles_w if level.name == "server" else served_w
            writer.add(panel, level, walked)
            result["levels"][level.name] = scores
    print(json.dumps(result, indent=1) if args.json else _table(result))
    return 0


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _positive(text: str) -> float:
    if (value := float(text)) <= 0:
        raise ValueError(text)
    return value


def _model(args: argparse.Namespace, panel: "Panel") -> "LiteRtModel":
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
    from wattcast_coordinator.train import backtest_fit

    if args.fit_dir:
        request = backtest_fit.Request(
            args.fit_dir, args.fit_until, args.limit_windows, args.epochs, args.seed
        )
        with contextlib.redirect_stdout(sys.stderr):  # the frameworks print too
            backtest_fit.ensure(panel, request, lambda line: print(line, flush=True))
    folder = args.fit_dir or args.model
    if folder is None:
        return LiteRtModel(BASE_MODEL, BASE_MANIFEST)
    return LiteRtModel(folder / backtest_fit.MODEL, folder / backtest_fit.MANIFEST)


def _judged(
    args: argparse.Namespace,
    panel: "Panel",
    level: "Level",
    model: "LiteRtModel",
    origins: int,
    served_w: "FloatArray | None",
) -> tuple["Walked", Json]:
    from wattcast_agent.forecast.forecaster import Forecaster
    from wattcast_coordinator.train import backtest, backtest_rate, backtest_rivals

    warm_up = min(round(args.warm_up_days * _STEPS_A_DAY), panel.split)
    started_s = time.monotonic()
    update = Forecaster(model.predict, model.id).update
    told = _progress(level.name, warm_up + origins)
    walked = backtest.walk(panel, level, update, warm_up, origins, told)
    by_name = {
        "wattcast": walked.quantiles_w,
        "persistence": backtest_rivals.persistence(level, panel.split, origins),
        "lstm": backtest_rivals.plain_lstm(panel, level, model.predict, origins),
        "naive": backtest_rivals.plain_naive(level, panel.split, origins),
    }
    if served_w is not None:
        by_name["summed"] = backtest_rivals.summed(level, panel.levels[0], served_w, panel.split)
    if args.lightgbm:
        print(f"{level.name}: LightGBM", file=sys.stderr, flush=True)
        by_name |= backtest_rivals.trees(panel, level, origins, args.limit_windows, args.seed)
    scores: Json = {
        "seconds": round(time.monotonic() - started_s, 1),
        "lstm_served": float(walked.lstm.mean()),
        "minutes": backtest_rate.rate(level, panel.split, by_name),
    }
    return walked, scores


def _progress(name: str, total: int) -> Callable[[int], None]:
    every = max(1, total // 20)

    def tell(done: int) -> None:
        if done % every == 0 or done == total:
            print(f"{name}: {100 * done // total} % of {total} steps", file=sys.stderr, flush=True)

    return tell


def _table(result: Json) -> str:
    lines = [f"{result['panel']} from {result['fit_until']}, {result['model_id']}"]
    for name, level in result["levels"].items():
        lines.append(f"{name}: LSTM served in {level['lstm_served']:.0%}, {level['seconds']:g} s")
        for minutes, rows in level["minutes"].items():
            limited = any("onsets" in row for row in rows.values())
            columns = (*_SHOWN, *_COVERED, *(_WITH_LIMIT if limited else ()))
            head = f"{minutes} min"
            lines.append(f"  {head:<19}" + "".join(f"{column:>13}" for column in columns))
            lines += [
                f"  {who:<19}"
                + "".join(f"{row.get(column, float('nan')):13.4g}" for column in columns)
                for who, row in rows.items()
            ]
    return "\n".join(lines)
