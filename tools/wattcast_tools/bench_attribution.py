"""How well watts are attributed to workloads, against metered outlets.

Several servers on metered outlets are taken for one shared server: the model sees the sum of the
outlets and the CPU that each server used, and is judged on each outlet. So a workload's true watts
are known, which no meter tells of processes on one server. The idle power of the whole is the 2 %
quantile of the first third of each run, all sizes are equal; the rest of the run is judged. Rivals:
everyone the same, and everything (idle power too) in proportion to CPU.

The folder holds outlets_15s.parquet (t, outlet, power_w) and server_cpu_15s.parquet (t, run, host,
cpu_pct), as in docs/database.md; host NAMEn is on outlet n.

example: wattcast bench attribution recordings/upm_outlets --leave-out hybrid/2:pfe5 --json
"""

import argparse
import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_IDLE_QUANTILE, _FIRST = 0.02, 3
_OFF_W = 5.0  # an outlet below this feeds nothing that runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench attribution``."""
    parser.add_argument("folder", type=Path, help="with the two Parquet files")
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="RUN:HOST", help="not on its outlet"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Judge every run; print the errors."""
    results = [_judge(*run) for run in _runs(args.folder, set(args.leave_out))]
    if args.json:
        print(json.dumps({"runs": results}))
        return 0
    print(f"{'run':12} {'workloads':>9} {'steps':>6}   mean absolute error, % of mean power")
    for r in results:
        errors = "   ".join(f"{name} {value['pct']:5.1f}" for name, value in r["error"].items())
        print(f"{r['run']:12} {r['workloads']:9} {r['steps']:6}   {errors}")
    return 0


def _runs(folder: Path, without: set[str]) -> list[tuple[str, Any, Any]]:
    """Each run's name, CPU and watts: [step, host], where all hosts have both."""
    import numpy as np
    import pyarrow.parquet as pq  # type: ignore[import-untyped] # has no stubs

    from wattcast_core.errors import DataError

    try:
        outlets = pq.read_table(folder / "outlets_15s.parquet").to_pylist()
        used = pq.read_table(folder / "server_cpu_15s.parquet").to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: {error}; remedy: give the folder of the recording") from error
    watts = {(_step(row), row["outlet"]): row["power_w"] for row in outlets}
    by_run: dict[str, dict[str, dict[int, float]]] = {}
    for row in used:
        if f"{row['run']}:{row['host']}" not in without:
            by_host = by_run.setdefault(row["run"], {})
            by_host.setdefault(row["host"], {})[_step(row)] = row["cpu_pct"]
    out = []
    for name, hosts in sorted(by_run.items()):
        ordered = sorted(hosts)
        steps = sorted(set.intersection(*(set(hosts[host]) for host in ordered)))
        numbers = [int("".join(filter(str.isdigit, host))) for host in ordered]
        cpu = np.array([[hosts[host][step] for host in ordered] for step in steps])
        power_w = np.array([[watts.get((s, n), np.nan) for n in numbers] for s in steps])
        on = (power_w > _OFF_W).all(1) & np.isfinite(cpu).all(1)
        out.append((name, cpu[on], power_w[on]))
    return out


def _step(row: Json) -> int:
    return int(row["t"].timestamp()) // 15


def _judge(name: str, cpu: Any, power_w: Any) -> Json:
    """Errors on the later part of a run, of the model and its rivals."""
    import numpy as np

    from wattcast_coordinator.aggregate.attribution import attribute
    from wattcast_coordinator.ports import Usage

    total_w, first = power_w.sum(1), len(power_w) // _FIRST
    idle_w = float(np.quantile(total_w[:first], _IDLE_QUANTILE))
    names = [str(place) for place in range(power_w.shape[1])]
    sizes = dict.fromkeys(names, 1.0)
    model = []
    for watts, used in zip(total_w, cpu, strict=True):
        found = attribute(
            watts, idle_w, sizes, {n: Usage(cpu=u / 100) for n, u in zip(names, used, strict=True)}
        )
        model.append([found[n].power_w for n in names])
    same = np.full(power_w.shape, 1 / len(names))
    busy = cpu.sum(1, keepdims=True)
    share = np.where(busy > 0, cpu / np.maximum(busy, 1e-9), same)
    guesses = {
        "wattcast": np.array(model),
        "equal": total_w[:, None] * same,
        "cpu_only": total_w[:, None] * share,
    }
    judged = power_w[first:]
    errors = {key: np.abs(guess[first:] - judged).mean() for key, guess in guesses.items()}
    return {
        "run": name,
        "workloads": len(names),
        "steps": len(judged),
        "error": {
            key: {"mae_w": round(float(mae), 2), "pct": round(float(100 * mae / judged.mean()), 1)}
            for key, mae in errors.items()
        },
    }
