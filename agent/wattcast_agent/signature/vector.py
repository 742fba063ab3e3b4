"""The values of one signature, in the order of FEATURES."""

import math
from collections.abc import Callable

from wattcast_agent.signature.rates import Increase
from wattcast_core.signature import FEATURES

_RATES = {
    "context_switches_per_s": "context_switches_total",
    "page_faults_per_s": "page_faults_total",
    "major_faults_per_s": "major_faults_total",
    "net_rx_bytes_per_s": "net_rx_bytes_total",
    "net_tx_bytes_per_s": "net_tx_bytes_total",
    "disk_read_bytes_per_s": "disk_read_bytes_total",
    "disk_write_bytes_per_s": "disk_write_bytes_total",
    "disk_io_per_s": "disk_io_total",
    "memory_bandwidth_bytes_per_s": "memory_bandwidth_bytes_total",
    "llc_misses_per_s": "llc_misses_total",
}
_USER_LOAD, _USER_LOAD_TOTAL = "user_load", "user_load_total"
_BUSY, _CPU, _PRESSURE = (
    "cpu_busy_seconds_total",
    "cpu_seconds_total",
    "memory_pressure_seconds_total",
)
GAUGES = frozenset({"cpu_freq_mhz", "load1", "memory_used_pct", "swap_used_pct", _USER_LOAD})
COUNTERS = frozenset({*_RATES.values(), _BUSY, _CPU, _PRESSURE, _USER_LOAD_TOTAL})
AIR = {"inlet_temperature_c": "temperature_c", "inlet_humidity_pct": "humidity_pct"}

Mean = Callable[[str], float]
Counted = Callable[[str], Increase]


def values(mean: Mean, counted: Counted, air: Mean) -> tuple[float, ...]:
    """One value a feature; NaN where nothing good was read.

    Args:
        mean: gauge of the host -> mean over the step.
        counted: counter of the host -> its increase over the step.
        air: ``temperature_c`` or ``humidity_pct`` -> mean of the rack's sensors.
    """
    return tuple(_value(name, mean, counted, air) for name in FEATURES)


def is_air(name: str, quantity: str) -> bool:
    """Whether a reading is that quantity of the rack's air: ``env.1.temperature_c``."""
    return name.startswith("env.") and name.endswith(f".{quantity}")


def _value(name: str, mean: Mean, counted: Counted, air: Mean) -> float:
    if name in _RATES:
        return counted(_RATES[name]).per_s
    if name in AIR:
        return air(AIR[name])
    if name == "user_load_value":
        rate = counted(_USER_LOAD_TOTAL).per_s
        return rate if math.isfinite(rate) else mean(_USER_LOAD)
    if name in GAUGES:
        return mean(name)
    if name == "cpu_pct":
        return _share_pct(counted(_BUSY).amount, counted(_CPU).amount)
    pressure = counted(_PRESSURE)  # the one feature left: memory_pressure_pct
    return _share_pct(pressure.amount, pressure.over_s)


def _share_pct(part: float, whole: float) -> float:
    return min(100.0, 100.0 * part / whole) if whole > 0 else math.nan
