"""What a forecast costs on the edge: a rack's servers in one batch, one thread.

Measured: the shipped model in LiteRT (``p50_ms``, ``p99_ms``; ``cpu_p50_ms`` counts the processor's
time alone, the one to read where others use the machine too), the whole update of a rack with its
windows, features, calibration and choice (``update_p50_ms``), and the memory of a process that does
nothing else (``rss_mb``). Beside it, where they are installed, the same network with the same
number of weights in ONNX Runtime and PyTorch, built anew with random weights: the time does not
depend on them. All in this run, in turn.

example: wattcast bench forecast --json
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_core.signature import Signature

Json = dict[str, Any]
_T0_S = 1_700_000_100 // 300 * 300
_WARM = 20  # runs before those that count
_DAY = 288


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast bench forecast``."""
    parser.add_argument("--batch", type=int, default=40, help="servers of a rack (default 40)")
    parser.add_argument("--runs", type=int, default=300, help="that count (default 300)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure in a process of its own, then the peers in this one."""
    import json
    import multiprocessing

    from wattcast_core.errors import ConfigError
    from wattcast_tools import bench_peers

    if args.batch < 1 or args.runs < 1:
        raise ConfigError("--batch and --runs must be at least 1")
    fresh = multiprocessing.get_context("spawn")
    with fresh.Pool(1) as pool:
        result: Json = pool.apply(edge, (args.batch, args.runs))
    for name, build in bench_peers.PEERS.items():
        peer = build(args.batch)
        result[name] = None if peer is None else _timed(peer, args.runs)
    print(json.dumps(result) if args.json else _table(result))
    return 0


def edge(batch: int, runs: int) -> Json:
    """The agent's forecaster alone; its memory counts."""
    from datetime import timedelta

    import psutil

    from wattcast_agent.forecast.forecaster import Forecaster
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
    from wattcast_core.signal.features import ModelInput
    from wattcast_core.units import FloatArray

    model = LiteRtModel(BASE_MODEL, BASE_MANIFEST)
    seen: list[ModelInput] = []

    def look(inputs: ModelInput) -> FloatArray:
        seen[:] = [inputs]
        return model.predict(inputs)

    forecaster = Forecaster(look, model.id, learned=model.learned)
    step = iter(range(10**9))

    def update() -> None:
        signatures = _signatures(batch, next(step))
        now = signatures[0].at + timedelta(seconds=signatures[0].step_s)
        forecaster.update(signatures, now, 0.0)

    for _ in range(_DAY):
        update()
    whole = _timed(update, min(runs, _DAY))
    network = _timed(lambda: model.predict(seen[0]), runs)
    return {
        "batch": batch,
        **network,
        "update_p50_ms": whole["p50_ms"],
        "update_cpu_p50_ms": whole["cpu_p50_ms"],
        "update_p99_ms": whole["p99_ms"],
        "rss_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
        "runtime": model.runtime,
        "model_bytes": BASE_MODEL.stat().st_size,
    }


def _signatures(batch: int, step: int) -> "list[Signature]":
    import math

    from wattcast_core.signature import FEATURES, Signature
    from wattcast_core.units import from_epoch_s

    at = from_epoch_s(_T0_S + 300 * step)
    values = (50.0,) * len(FEATURES)
    watts = [300.0 + 40.0 * math.sin(step / (5.0 + k)) + step % 7 for k in range(batch)]
    return [Signature(f"s{k}", at, 300.0, (w,), values) for k, w in enumerate(watts)]


def _timed(work: Callable[[], object], runs: int) -> Json:
    """Median and 99th percentile of real milliseconds, median of the process's own."""
    import time

    import numpy as np

    for _ in range(_WARM):
        work()
    took_s, busy_s = [], []
    for _ in range(runs):
        began_s, busy = time.perf_counter(), time.process_time()
        work()
        took_s.append(time.perf_counter() - began_s)
        busy_s.append(time.process_time() - busy)
    p50, p99 = np.quantile(took_s, (0.5, 0.99)) * 1e3
    cpu_ms = round(float(np.median(busy_s)) * 1e3, 3)
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3), "cpu_p50_ms": cpu_ms}


def _table(result: Json) -> str:
    lines = [f"{result['batch']} servers in one batch, one thread"]
    rows = {"LiteRT, network alone": result}
    rows |= {name: result[name] for name in ("onnxruntime", "torch") if result[name]}
    for name, row in rows.items():
        lines.append(
            f"  {name:<24} p50 {row['p50_ms']:8.3f} ms   p99 {row['p99_ms']:8.3f} ms   "
            f"processor {row['cpu_p50_ms']:.3f} ms"
        )
    lines.append(
        f"  {'whole update of the rack':<24} p50 {result['update_p50_ms']:8.3f} ms   "
        f"p99 {result['update_p99_ms']:8.3f} ms"
    )
    lines.append(f"  memory {result['rss_mb']} MB, model {result['model_bytes']} bytes")
    absent = [name for name in ("onnxruntime", "torch") if result[name] is None]
    if absent:
        lines.append(f"  not installed: {', '.join(absent)}")
    return "\n".join(lines)
