"""Cut the room's data from the recordings (see data/NOTICE); needs pyarrow.

example: python -m wattcast_tools.room.excerpt --data DIR
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types

from wattcast_tools.room.traces import BIN_S, COLUMNS, DATA_DIR

FloatArray = npt.NDArray[np.float64]

# August: the base model is trained on July, so it has not seen these days. A Monday, no common gap.
_START = "2013-08-12"
_DAYS = 5
_VMS = 48
_PLATFORMS = (
    "a1.metal",
    "c6g.metal",
    "m6g.metal",
    "m5.12xlarge",
    "c5n.9xlarge",
    "i3en.metal",
)
_BINS = _DAYS * 86_400 // BIN_S


def main() -> None:
    """Write data/traces.npz and data/platforms.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    folder = parser.parse_args().data
    ids, traces = _traces(folder / "bitbrains_rnd" / "vms_2013-08.parquet")
    np.savez_compressed(DATA_DIR / "traces.npz", vm=ids, values=traces)
    _platforms(folder / "power_curves" / "aws_instances_power.csv")


def _traces(path: Path) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float16]]:
    table = pq.read_table(path)
    vm = table["vm"].to_numpy()
    start_s = np.datetime64(_START, "s").astype(np.int64)
    bins = (table["t"].to_numpy().astype("datetime64[s]").astype(np.int64) - start_s) // BIN_S
    values = np.stack([table[c].to_numpy().astype(float) for c in COLUMNS], axis=1)
    inside = (bins >= 0) & (bins < _BINS)
    vm, bins, values = vm[inside], bins[inside], values[inside]
    chosen: dict[int, FloatArray] = {}
    for ident in np.unique(vm):
        one = np.full((_BINS, len(COLUMNS)), np.nan)
        one[bins[vm == ident]] = values[vm == ident]
        if _lively(one):
            chosen[int(ident)] = _filled(one)
    ids = np.array(sorted(chosen)[:_VMS], dtype=np.int16)
    return ids, np.stack([chosen[int(i)] for i in ids]).astype(np.float16)


def _lively(one: FloatArray) -> bool:
    """Complete, busy, and neither constant nor a rare spike."""
    cpu = one[:, 0]
    mean, spread = np.nanmean(cpu), np.nanstd(cpu)
    complete = np.isnan(one).mean(axis=0).max() < 0.05
    return bool(complete and mean > 3.0 and 0.1 * mean < spread < 1.2 * mean)


def _filled(one: FloatArray) -> FloatArray:
    """Missing bins interpolated; float16 holds up to 65504 (KB/s)."""
    index = np.arange(_BINS)
    for column in one.T:
        known = ~np.isnan(column)
        column[:] = np.interp(index, index[known], column[known])
    return np.minimum(one, 60_000.0)


def _platforms(path: Path) -> None:
    with path.open(newline="") as source:
        rows = {r["Instance type"]: r for r in csv.DictReader(source)}
    with (DATA_DIR / "platforms.csv").open("w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(["platform", "cpu", "mem_gib", "w_idle", "w_10", "w_50", "w_100"])
        for name in _PLATFORMS:
            row = rows[name]
            watts = [row[f"Instance @ {x}"] for x in ("Idle", "10%", "50%", "100%")]
            writer.writerow(
                [name, row["Platform CPU Name"], row["Instance Memory (in GB)"], *watts]
            )


if __name__ == "__main__":
    main()
