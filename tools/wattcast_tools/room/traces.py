"""The recordings the room replays: five August days of real machines, and platform power curves."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DATA_DIR = Path(__file__).parent / "data"
BIN_S = 300
COLUMNS = ("cpu_pct", "mem_pct", "disk_r_kbs", "disk_w_kbs", "net_rx_kbs", "net_tx_kbs")


@dataclass(frozen=True)
class Traces:
    """Recorded machines.

    Attributes:
        values: [machine, bin of 300 s, column of COLUMNS]; bin 0 is a Monday, 00:00 UTC.
    """

    values: FloatArray

    def at(self, trace_s: float) -> FloatArray:
        """[machine, column] interpolated at a trace time in seconds; the days repeat."""
        place = trace_s / BIN_S % self.values.shape[1]
        left = int(place)
        weight = place - left
        right = (left + 1) % self.values.shape[1]
        return np.asarray(self.values[:, left] * (1.0 - weight) + self.values[:, right] * weight)


@dataclass(frozen=True)
class Platform:
    """Wall power of a server type at idle, 10, 50 and 100 % CPU."""

    name: str
    mem_gib: float
    watts: tuple[float, float, float, float]

    @property
    def idle_w(self) -> float:
        """Power without load."""
        return self.watts[0]

    @property
    def full_w(self) -> float:
        """Power at full load."""
        return self.watts[3]


@cache
def load_traces() -> Traces:
    """The shipped recordings (see data/NOTICE)."""
    with np.load(DATA_DIR / "traces.npz") as file:
        return Traces(file["values"].astype(float))


@cache
def load_platforms() -> dict[str, Platform]:
    """The shipped power curves by platform name (see data/NOTICE)."""
    with (DATA_DIR / "platforms.csv").open(newline="") as file:
        return {row["platform"]: _platform(row) for row in csv.DictReader(file)}


def _platform(row: dict[str, str]) -> Platform:
    idle, ten, half, full = (float(row[k]) for k in ("w_idle", "w_10", "w_50", "w_100"))
    return Platform(row["platform"], float(row["mem_gib"]), (idle, ten, half, full))
