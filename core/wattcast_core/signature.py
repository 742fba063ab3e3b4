"""The workload signature: what one server did in one step."""

from dataclasses import dataclass, field
from datetime import datetime

from wattcast_core.samples import Quality

FEATURES = (
    "cpu_pct",
    "cpu_freq_mhz",
    "load1",
    "context_switches_per_s",
    "memory_used_pct",
    "page_faults_per_s",
    "major_faults_per_s",
    "swap_used_pct",
    "memory_pressure_pct",
    "net_rx_bytes_per_s",
    "net_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
    "disk_io_per_s",
    "inlet_temperature_c",
    "inlet_humidity_pct",
    "memory_bandwidth_bytes_per_s",
    "llc_misses_per_s",
    "user_load_value",  # of the metric that Tags.user_load names: a rate a second, or a level
)


@dataclass(frozen=True, slots=True)
class Tags:
    """What a signature belongs to; ``user_load`` names the metric behind that feature."""

    site: str = ""
    rack: str = ""
    application: str = ""
    version: str = ""
    os: str = ""
    criticality: int = 3
    user_load: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """One aligned vector of one server and one step.

    Attributes:
        server: server id.
        at: start of the step (data time).
        step_s: length of the step.
        cords_w: mean power of each cord over the step, NaN where not measured.
        values: one value a name of FEATURES, NaN where missing.
        tags: application, version, OS and the like.
        quality: worst quality of the power readings.
        cords_v, cords_a, cords_pf: mean volts, amperes and power factor of each cord, NaN where
            not measured; empty if measured at none.
    """

    server: str
    at: datetime
    step_s: float
    cords_w: tuple[float, ...]
    values: tuple[float, ...]
    tags: Tags = field(default_factory=Tags)
    quality: Quality = Quality.GOOD
    cords_v: tuple[float, ...] = ()
    cords_a: tuple[float, ...] = ()
    cords_pf: tuple[float, ...] = ()

    @property
    def power_w(self) -> float:
        """Power of the server: the sum of its cords, NaN if one is not known."""
        return float(sum(self.cords_w)) if self.cords_w else float("nan")
