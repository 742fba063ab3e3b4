"""What a server's operating system would count, from its load and the recordings. Pure."""

import numpy as np

from wattcast_tools.room.model import World
from wattcast_tools.room.routing import FloatArray

CORES = 16  # each server shows as many; more would only make the text longer
_FREQUENCY_MHZ = (1200.0, 3100.0)  # idle and busy


def rates(world: World) -> dict[str, FloatArray]:
    """[server] gauges and rates a data second.

    Keys: cpu (0..1), load1, frequency_mhz, memory_used (0..1), swap_used (0..1), and a second:
    context_switches, page_faults, major_faults, memory_wait_s, net_rx_b, net_tx_b, disk_read_b,
    disk_write_b, disk_reads, disk_writes.
    """
    cpu = world.loads.cpu
    usage, memory = world.usage()
    _, _, read_kb, write_kb, rx_kb, tx_kb = usage.T
    low, high = _FREQUENCY_MHZ
    pressure = np.maximum(memory - 0.9, 0.0)
    return {
        "cpu": cpu,
        "load1": cpu * CORES * (0.9 + 0.4 * cpu**3),
        "frequency_mhz": low + (high - low) * np.minimum(1.3 * cpu, 1.0),
        "memory_used": memory,
        "swap_used": np.minimum(0.02 + pressure, 1.0),
        "context_switches": 900.0 + 42_000.0 * cpu,
        "page_faults": 300.0 + 9_000.0 * cpu,
        "major_faults": 0.2 + 30.0 * pressure,
        "memory_wait_s": 0.2 * pressure,
        "net_rx_b": 1e3 * rx_kb,
        "net_tx_b": 1e3 * tx_kb,
        "disk_read_b": 1e3 * read_kb,
        "disk_write_b": 1e3 * write_kb,
        "disk_reads": read_kb / 32.0,
        "disk_writes": 1.0 + write_kb / 16.0,
    }
