"""What workloads use, from the counters of their cgroups.

Readings of a server: ``workload.ID.cpu_seconds_total``, ``workload.ID.memory_bytes`` and
``workload.ID.io_bytes_total``, where ID is the workload's of the site file.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from wattcast_coordinator.ports import Usage
from wattcast_core import points
from wattcast_core.samples import Sample


@dataclass(slots=True)
class UsageMeter:
    """Counters become rates; the newest reading of each workload on each server."""

    _last: dict[tuple[str, str], tuple[datetime, float]] = field(default_factory=dict)
    _known: dict[tuple[str, str], tuple[datetime, Usage]] = field(default_factory=dict)

    def take(self, samples: Iterable[Sample]) -> None:
        """Take the samples of workloads; others do not matter."""
        for sample in samples:
            if sample.quantity.startswith(points.WORKLOAD) and sample.usable:
                self._take(sample)

    def usage(self, placement: Mapping[str, str], since: datetime) -> dict[str, Usage]:
        """Workload -> what it used lately on the server where it runs."""
        found = {name: self._known.get((server, name)) for name, server in placement.items()}
        return {name: known[1] for name, known in found.items() if known and known[0] >= since}

    def _take(self, sample: Sample) -> None:
        workload, _, quantity = sample.quantity.removeprefix(points.WORKLOAD).rpartition(".")
        key = (sample.source, workload)
        at, usage = self._known.get(key, (sample.at, Usage()))
        match quantity:
            case "cpu_seconds_total":
                usage = replace(usage, cpu=self._rate(sample, usage.cpu))
            case "memory_bytes":
                usage = replace(usage, memory=sample.value)
            case "io_bytes_total":
                usage = replace(usage, io=self._rate(sample, usage.io))
        self._known[key] = max(at, sample.at), usage

    def _rate(self, sample: Sample, before: float) -> float:
        """Rise a second since the last reading; NaN after a restart of the counter."""
        key = (sample.source, sample.quantity)
        last = self._last.get(key)
        if last is not None and sample.at <= last[0]:
            return before  # a replay
        self._last[key] = sample.at, sample.value
        if last is None or sample.value < last[1]:
            return math.nan
        return (sample.value - last[1]) / (sample.at - last[0]).total_seconds()
