"""Measured power as panels for ``wattcast backtest``: recordings of real meters.

    python -m wattcast_tools.measured_panels surf RECORDINGS OUT_DIR
    python -m wattcast_tools.measured_panels upm RECORDINGS OUT_DIR

surf: RECORDINGS/surf_lisa/cluster_power_30s.parquet (SURF Lisa, 277 nodes, October 2022): the sum
of all nodes as one series, CPU from its jobs. upm: RECORDINGS/upm_outlets (Universidad
Politecnica de Madrid, 2021): six outlets, CPU from the servers' logs. Means over the model's step;
what was not recorded is missing. The channels that these recordings do not have are missing in
every row.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wattcast_coordinator.train import recordings
from wattcast_coordinator.train.backtest_panel import COLUMNS, parquet
from wattcast_core.errors import ConfigError, WattcastError
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import STEP_S
from wattcast_core.units import FloatArray

_SURF = "surf_lisa/cluster_power_30s.parquet"
_SURF_NODES = 277


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one panel."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=("surf", "upm"))
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    try:
        names, channels, start_s = (_surf if args.source == "surf" else _upm)(args.recordings)
    except WattcastError as error:
        print(error, file=sys.stderr)
        return 2
    write(args.out, names, channels, start_s)
    return 0


def write(out: Path, names: list[str], channels: FloatArray, start_s: float) -> None:
    """Write servers.parquet and topology.json: all servers in one rack, half on each feed.

    Args:
        out: the panel's folder.
        names: of the servers.
        channels: [server, step, (power in W, CPU in %)], NaN = not recorded.
        start_s: epoch seconds of the first step.
    """
    pa = importlib.import_module("pyarrow")

    out.mkdir(parents=True, exist_ok=True)
    steps = channels.shape[1]
    times = ((start_s + np.arange(steps) * STEP_S) * 1000.0).astype(np.int64)
    table = {"t": pa.array(np.repeat(times, len(names)), pa.timestamp("ms", "UTC"))}
    table["server"] = pa.array(names * steps)
    absent = np.full(len(names) * steps, np.nan)
    for name in COLUMNS:
        table[name] = pa.array(absent)
    table["power_w"] = pa.array(channels[:, :, 0].T.ravel())
    table["cpu_util"] = pa.array(channels[:, :, 1].T.ravel() / 100.0)
    parquet().write_table(pa.table(table), out / "servers.parquet", compression="zstd")
    servers = {name: {"rack": "r0", "feed_a_share": 0.5} for name in names}
    (out / "topology.json").write_text(json.dumps({"servers": servers}, indent=1))


def _surf(data: Path) -> tuple[list[str], FloatArray, float]:
    path = data / _SURF
    if not path.is_file():
        raise ConfigError(f"{path} is missing; remedy: give the folder that holds surf_lisa")
    table = parquet().read_table(path)
    stamps = table["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    start_s = float(stamps.min() // STEP_S * STEP_S)
    step = ((stamps - start_s) // STEP_S).astype(np.int64)
    count = np.maximum(np.bincount(step), 1)
    power = np.bincount(step, weights=table["power_w"].to_numpy()) / count
    cpu = np.bincount(step, weights=table["cpu_nodes"].to_numpy()) / count / _SURF_NODES
    return ["cluster"], np.stack([power, 100.0 * cpu], axis=1)[None], start_s


def _upm(data: Path) -> tuple[list[str], FloatArray, float]:
    panel = recordings.outlets(data)
    power, cpu = CHANNELS.index("power_w"), CHANNELS.index("cpu_pct")
    names = [f"outlet-{k + 1}" for k in range(len(panel.channels))]
    return names, panel.channels[:, :, [power, cpu]], panel.start_s


if __name__ == "__main__":
    sys.exit(main())
