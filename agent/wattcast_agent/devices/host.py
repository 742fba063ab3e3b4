"""Metrics of the agent's own machine; what it does not offer, or does not permit, is absent."""

from contextlib import suppress
from pathlib import Path

import psutil

from wattcast_agent.devices.cache_misses import CacheMisses

_PRESSURE, _VMSTAT = Path("/proc/pressure/memory"), Path("/proc/vmstat")
_RESCTRL = Path("/sys/fs/resctrl/mon_data")
_FAULTS = {"pgfault": "page_faults_total", "pgmajfault": "major_faults_total"}


class HostReader:
    """Reads this machine; keeps its performance counters open."""

    def __init__(self) -> None:
        self._misses = CacheMisses()

    def read(self) -> dict[str, float]:
        """Canonical quantities (as ``node_metrics``)."""
        times = psutil.cpu_times()
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        found = {
            "cpu_seconds_total": total_s,
            "cpu_busy_seconds_total": total_s - times.idle - getattr(times, "iowait", 0.0),
            "context_switches_total": float(psutil.cpu_stats().ctx_switches),
            "load1": psutil.getloadavg()[0],
            "memory_used_pct": psutil.virtual_memory().percent,
            "swap_used_pct": psutil.swap_memory().percent,
        }
        if (misses := self._misses.read()) is not None:
            found["llc_misses_total"] = float(misses)
        return found | _network() | _disk() | _frequency() | _faults() | _pressure() | _bandwidth()

    def close(self) -> None:
        """Close the performance counters."""
        self._misses.close()


def _network() -> dict[str, float]:
    cards = [c for name, c in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    return {
        "net_rx_bytes_total": float(sum(c.bytes_recv for c in cards)),
        "net_tx_bytes_total": float(sum(c.bytes_sent for c in cards)),
    }


def _disk() -> dict[str, float]:
    disk = psutil.disk_io_counters()
    if disk is None:
        return {}
    return {
        "disk_read_bytes_total": float(disk.read_bytes),
        "disk_write_bytes_total": float(disk.write_bytes),
        "disk_io_total": float(disk.read_count + disk.write_count),
    }


def _frequency() -> dict[str, float]:
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return {"cpu_freq_mhz": frequency.current} if frequency else {}


def _faults() -> dict[str, float]:
    with suppress(OSError):
        lines = (line.split() for line in _VMSTAT.read_text().splitlines())
        return {_FAULTS[name]: float(value) for name, value in lines if name in _FAULTS}
    return {}


def _pressure() -> dict[str, float]:
    """Linux pressure stall information: microseconds in which some task waited for memory."""
    with suppress(OSError, ValueError, IndexError):
        some = next(x for x in _PRESSURE.read_text().splitlines() if x.startswith("some"))
        return {"memory_pressure_seconds_total": float(some.rpartition("total=")[2]) / 1e6}
    return {}


def _bandwidth() -> dict[str, float]:
    """Bytes between memory and the last-level caches, where resctrl is mounted and monitors."""
    with suppress(OSError, ValueError):
        domains = list(_RESCTRL.glob("mon_L3_*/mbm_total_bytes"))
        if domains:
            total = sum(float(domain.read_text()) for domain in domains)
            return {"memory_bandwidth_bytes_total": total}
    return {}
