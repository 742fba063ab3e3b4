"""Metrics of the agent's own machine."""

import psutil


def read_host() -> dict[str, float]:
    """Canonical quantities (as ``node_metrics``) that this machine offers."""
    times = psutil.cpu_times()
    total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    found = {
        "cpu_seconds_total": total_s,
        "cpu_busy_seconds_total": total_s - times.idle - getattr(times, "iowait", 0.0),
        "context_switches_total": float(psutil.cpu_stats().ctx_switches),
        "load1": psutil.getloadavg()[0],
        "memory_used_pct": psutil.virtual_memory().percent,
    }
    return found | _network() | _disk() | _frequency()


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
