"""``wattcast backtest``: forecast a recorded panel from every step, as if it happened now.

PANEL_DIR holds servers.parquet (t, server, power_w, cpu_util 0..1, mem_pct, net_rx_kbs,
net_tx_kbs, disk_r_kbs, disk_w_kbs; one row a server and 5 minutes) and topology.json (servers:
id -> rack and feed_a_share; optional n1_limit_w). The agent's own forecaster walks through the
servers, the coordinator's through the sums of racks, feeds and all servers (n1). Nothing is fitted
on data from T on; the margins of the calibration go on learning from what has come, as they do
live. Without --fit-dir or --model, models are fitted on the panel before T into a temporary folder
where the extra train is installed and the panel has two weeks before T; else the shipped base
model forecasts.

examples: wattcast backtest room --fit-until 2013-08-18 --out forecasts.parquet --report report.html
          wattcast backtest room --fit-until 2013-08-18 --out f.parquet --fit-dir kept --json
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.train.backtest import Walked
    from wattcast_coordinator.train.backtest_panel import Level, Panel
    from wattcast_core.units import FloatArray

LEVELS = ("server", "rack", "feed", "n1")
_STEPS_A_DAY = 288
_SHOWN = ("answered", "mae_w", "skill", "pinball10_w", "pinball50_w", "pinball90_w", "pinball99_w")
_COVERED = ("coverage90", "coverage99")
_WITH_LIMIT = ("overload_f1", "onset_recall", "onsets")
_WINDOWS, _EPOCHS = 240_000, 8
_LEAST_DAYS = 14  # a fit on less than two whole weeks is worse than the shipped model

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("panel", type=Path, metavar="PANEL_DIR", help="servers.parquet and topology.json")
    add("--fit-until", required=True, type=_time, metavar="T", help="ISO time, UTC; judged from it")
    add("--out", required=True, type=Path, metavar="PREDICTIONS.parquet", help="forecasts served")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="DIR", help="of `wattcast train`; fit nothing")
    which.add_argument(
        "--fit-dir",
        type=Path,
        metavar="DIR",
        help="keep what is fitted before T (extra train) there, and reuse it",
    )
    add("--report", type=Path, metavar="HTML", help="write a page with charts (one file)")
    add("--level", action="append", choices=LEVELS, help="only this one (may be repeated)")
    add("--days", type=_positive, metavar="N", help="judge so many days only (default: all)")
    add("--warm-up-days", type=float, default=7.0, metavar="N", help="walked before T (default: 7)")
    add("--lightgbm", action="store_true", help="compare with LightGBM too (extra train)")
    add(
        "--limit-windows",
        type=int,
        default=_WINDOWS,
        metavar="N",
        help=f"to fit on (default: {_WINDOWS})",
    )
    add("--epochs", type=int, default=_EPOCHS, help=f"at most, to fit (default: {_EPOCHS})")
    add("--seed", type=int, default=1, help="of what is fitted (default: 1)")
    add("--json", action="store_true", help="print the scores as JSON")


def run(args: argparse.Namespace) -> int:
    """Fit, walk, compare, write the forecasts, print the scores."""
    from wattcast_coordinator.train import backtest_file, backtest_panel
    from wattcast_core.errors import ConfigError

    if args.warm_up_days < 0 or args.limit_windows < 1 or args.epochs < 1:
        raise ConfigError("--warm-up-days: at least 0; --limit-windows, --epochs: at least 1")
    if args.report and not args.report.parent.is_dir():
        raise ConfigError(f"--report {args.report}: no such folder; remedy: make it first")
    began_s = time.monotonic()
    panel = backtest_panel.read(args.panel, args.fit_until)
    chosen = [level for level in panel.levels if level.name in (args.level or LEVELS)]
    with backtest_file.Writer(args.out) as writer, _models(args, panel) as folder:
        fitted_s = time.monotonic()
        walked, model_id = _walk(args, panel, chosen, folder)
        for level in chosen:
            writer.add(panel, level, walked[level.name])
    result: Json = {
        "panel": str(args.panel),
        "fit_until": args.fit_until.isoformat(),
        "model_id": model_id,
        "origins": walked[chosen[0].name].quantiles_w.shape[1],
        "seconds": {"fit": fitted_s - began_s, "walk": time.monotonic() - fitted_s},
        "levels": {level.name: _judged(args, panel, level, walked[level.name]) for level in chosen},
    }
    if args.report:
        from wattcast_tools.backtest_report import page

        args.report.write_text(page(panel, walked, result), encoding="utf-8")
    print(json.dumps(result, indent=1) if args.json else _table(result))
    return 0


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _positive(text: str) -> float:
    if (value := float(text)) <= 0:
        raise ValueError(text)
    return value


@contextlib.contextmanager
def _models(args: argparse.Namespace, panel: "Panel") -> Iterator[Path | None]:
    """The folder of the models to walk with; None: those that ship."""
    if args.model:
        yield args.model
    elif args.fit_dir:
        _fit(args, panel, args.fit_dir)
        yield args.fit_dir
    elif panel.split < _LEAST_DAYS * _STEPS_A_DAY:
        _tell(f"less than {_LEAST_DAYS} days before T to fit on: the shipped base model forecasts")
        yield None
    elif find_spec("keras") and find_spec("tensorflow"):
        with tempfile.TemporaryDirectory(prefix="wattcast-fit-") as folder:
            _fit(args, panel, Path(folder))
            yield Path(folder)
    else:
        _tell("the extra train is not installed: the shipped base model forecasts")
        yield None


def _fit(args: argparse.Namespace, panel: "Panel", folder: Path) -> None:
    from wattcast_coordinator.train import backtest_fit

    request = backtest_fit.Request(
        folder, args.fit_until, args.limit_windows, args.epochs, args.seed
    )
    with contextlib.redirect_stdout(sys.stderr):  # the frameworks print too
        backtest_fit.ensure(panel, request, _tell)


def _walk(
    args: argparse.Namespace, panel: "Panel", chosen: "list[Level]", folder: Path | None
) -> "tuple[dict[str, Walked], str]":
    from wattcast_agent.forecast.forecaster import Forecaster
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL, BASE_SUMS
    from wattcast_configs.sum_file import read_sums
    from wattcast_coordinator.aggregate.nodes import NodeForecaster
    from wattcast_coordinator.train import backtest, base

    if folder is None:
        files, sums = (BASE_MODEL, BASE_MANIFEST), BASE_SUMS
    else:
        files = (folder / base.MODEL, folder / base.MANIFEST)
        sums = folder / base.SUMS
    model = LiteRtModel(*files)
    network = read_sums(sums) if sums.is_file() else None
    warm_up = min(round(args.warm_up_days * _STEPS_A_DAY), panel.split)
    origins = panel.levels[0].channels.shape[1] - panel.split
    if args.days:
        origins = min(origins, round(args.days * _STEPS_A_DAY))
    forecaster = Forecaster(model.predict, model.id, learned=model.learned)
    nodes = {
        level.name: NodeForecaster(level.shares, network)
        for level in chosen
        if level.name != "server"
    }
    room = backtest.Room(panel, forecaster.update, nodes)
    return backtest.walk(room, warm_up, origins, _progress(warm_up + origins)), model.id


def _judged(args: argparse.Namespace, panel: "Panel", level: "Level", walked: "Walked") -> Json:
    from wattcast_coordinator.train import backtest, backtest_rate, backtest_rivals

    origins = walked.quantiles_w.shape[1]
    by_name: dict[str, FloatArray] = {
        "wattcast": walked.quantiles_w,
        "persistence": backtest_rivals.persistence(level, panel.split, origins),
    }
    if args.lightgbm:
        _tell(f"{level.name}: LightGBM")
        by_name |= backtest_rivals.trees(panel, level, origins, args.limit_windows, args.seed)
    return {
        "codes": backtest.shares_of_codes(walked),
        "minutes": backtest_rate.rate(level, panel.split, by_name),
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(total: int) -> Callable[[int], None]:
    every, began_s = max(1, total // 20), time.monotonic()

    def tell(done: int) -> None:
        if done % every == 0 or done == total:
            left_s = (time.monotonic() - began_s) / done * (total - done)
            _tell(f"walking: {100 * done // total} % of {total} steps, {left_s:.0f} s to go")

    return tell


def _table(result: Json) -> str:
    lines = [f"{result['panel']} from {result['fit_until']}, {result['model_id']}"]
    for name, level in result["levels"].items():
        codes = ", ".join(f"{code} {share:.1%}" for code, share in level["codes"].items())
        lines.append(f"{name}: {codes}")
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
