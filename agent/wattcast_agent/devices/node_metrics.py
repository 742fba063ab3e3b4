"""node_exporter's text gives canonical quantities. Pure."""

import re
from collections.abc import Mapping

from wattcast_core.points import WORKLOAD

Series = Mapping[str, list[tuple[str, float]]]  # metric -> (labels, value) of each series

# canonical counter -> metrics whose series are added up
_COUNTERS = {
    "context_switches_total": ("node_context_switches_total",),
    "page_faults_total": ("node_vmstat_pgfault",),
    "major_faults_total": ("node_vmstat_pgmajfault",),
    "memory_pressure_seconds_total": ("node_pressure_memory_waiting_seconds_total",),
    "net_rx_bytes_total": ("node_network_receive_bytes_total",),
    "net_tx_bytes_total": ("node_network_transmit_bytes_total",),
    "disk_read_bytes_total": ("node_disk_read_bytes_total",),
    "disk_write_bytes_total": ("node_disk_written_bytes_total",),
    "llc_misses_total": ("node_perf_cache_misses_total",),
    "memory_bandwidth_bytes_total": ("wattcast_memory_bandwidth_bytes_total",),
    "disk_io_total": ("node_disk_reads_completed_total", "node_disk_writes_completed_total"),
}
_CPU, _LOAD = "node_cpu_seconds_total", "node_load1"
_FREQUENCIES = ("node_cpu_scaling_frequency_hertz", "node_cpu_frequency_hertz")
_MEMORY = ("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes")
_SWAP = ("node_memory_SwapFree_bytes", "node_memory_SwapTotal_bytes")

# What node_exporter calls the parts that give the metrics above.
COLLECTORS = (
    *("cpu", "cpufreq", "stat", "loadavg", "meminfo", "vmstat", "pressure"),
    *("netdev", "diskstats", "textfile", "perf"),
)

COUNTERS = ("cpu_busy_seconds_total", "cpu_seconds_total", *_COUNTERS)
GAUGES = ("cpu_freq_mhz", "load1", "memory_used_pct", "swap_used_pct")
QUANTITIES = (*COUNTERS, *GAUGES)

_WANTED = {m for names in _COUNTERS.values() for m in names}
_WANTED |= {_CPU, _LOAD, *_FREQUENCIES, *_MEMORY, *_SWAP}
_LINE = re.compile(
    rf"^({'|'.join(sorted(_WANTED, key=len, reverse=True))})(?:\{{([^}}]*)\}})? (\S+)", re.MULTILINE
)
# What workload_cgroups.sh writes for the textfile collector.
_USED = re.compile(
    r"^wattcast_workload_(cpu_seconds_total|memory_bytes|io_bytes_total)"
    r'\{workload="([^"]+)"\} (\S+)',
    re.MULTILINE,
)
_IDLE = re.compile(r'mode="(?:idle|iowait)"')
# The loopback is no network; a mapped or RAID disk would count its parts twice.
_NOT_COUNTED = re.compile(r'device="(?:lo|loop\d+|ram\d+|dm-\d+|md\d+|zram\d+)"')


def quantities(text: str) -> dict[str, float]:
    """Canonical quantities of one scrape; those the text does not carry are absent.

    Raises:
        ValueError: a wanted value is no number.
    """
    series: dict[str, list[tuple[str, float]]] = {}
    for metric, labels, value in _LINE.findall(text):
        if not _NOT_COUNTED.search(labels):
            series.setdefault(metric, []).append((labels, float(value)))
    found = {name: _sum(series, metrics) for name, metrics in _COUNTERS.items()}
    found["cpu_seconds_total"] = _sum(series, (_CPU,))
    found["cpu_busy_seconds_total"] = _busy(series)
    found["cpu_freq_mhz"] = _frequency(series)
    found["load1"] = _sum(series, (_LOAD,))
    found["memory_used_pct"] = _used_pct(series, _MEMORY)
    found["swap_used_pct"] = _used_pct(series, _SWAP)
    known = {name: value for name, value in found.items() if value is not None}
    return known | {f"{WORKLOAD}{w}.{q}": float(value) for q, w, value in _USED.findall(text)}


def _sum(series: Series, metrics: tuple[str, ...]) -> float | None:
    if any(metric not in series for metric in metrics):
        return None
    return sum(value for metric in metrics for _, value in series[metric])


def _busy(series: Series) -> float | None:
    if _CPU not in series:
        return None
    return sum(value for labels, value in series[_CPU] if not _IDLE.search(labels))


def _frequency(series: Series) -> float | None:
    """Mean over the cores, MHz."""
    for metric in _FREQUENCIES:
        if metric in series:
            values = [hertz for _, hertz in series[metric]]
            return sum(values) / len(values) / 1e6
    return None


def _used_pct(series: Series, metrics: tuple[str, str]) -> float | None:
    free, total = (_sum(series, (metric,)) for metric in metrics)
    if free is None or total is None:
        return None
    return 100.0 * (1.0 - free / total) if total > 0 else 0.0
