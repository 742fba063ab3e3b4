"""Collects samples and closes steps."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean

from wattcast_agent.signature.layout import HostSpec, Layout
from wattcast_agent.signature.rates import Increase, increase
from wattcast_agent.signature.vector import AIR, COUNTERS, GAUGES, is_air, values
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import Signature
from wattcast_core.units import epoch_s, from_epoch_s

_WORST = (Quality.GOOD, Quality.STALE, Quality.INVALID, Quality.MISSING)
_MAX_GAP_STEPS = 64  # a longer absence leaves no row a step: the store sees the gap itself

_ELECTRIC = {"cords_v": "voltage_v", "cords_a": "current_a", "cords_pf": "power_factor"}

Key = tuple[str, str]
Points = dict[float, float]  # epoch s -> value; a dict drops duplicates


@dataclass(slots=True)
class _Open:
    """What was read in one open step."""

    points: dict[Key, Points] = field(default_factory=dict)
    worst: dict[Key, Quality] = field(default_factory=dict)

    def add(self, sample: Sample, at_s: float) -> None:
        if sample.usable:
            key = (sample.source, sample.quantity)
            self.points.setdefault(key, {}).setdefault(at_s, sample.value)
        else:
            key = (sample.source, sample.quantity)
            before = self.worst.get(key, Quality.GOOD)
            self.worst[key] = max(before, sample.quality, key=_WORST.index)

    def mean(self, key: Key) -> float:
        points = self.points.get(key)
        return fmean(points.values()) if points else math.nan


class Builder:
    """Builds signatures; steps are aligned to the epoch.

    Invariants: a closed step never opens again; a sample counts once; the state is bounded by the
    rack's quantities times the polls of two steps.
    """

    def __init__(self, layout: Layout, step_s: float) -> None:
        """Start empty.

        Args:
            layout: whose readings belong to which server.
            step_s: length of a step in data seconds.
        """
        self._layout, self._step_s = layout, step_s
        self._hosts = frozenset(h.id for h in layout.hosts)
        self._meters = {cord: meter for meter, cord in layout.cords.items()}
        self._electric = {_beside(m, q) for m in layout.cords for q in _ELECTRIC.values()}
        self._open: dict[int, _Open] = {}
        self._closed: int | None = None
        self._carry: dict[Key, tuple[float, float]] = {}
        self.late = 0

    def add(self, samples: Iterable[Sample], now: datetime) -> None:
        """Place samples into their steps.

        One of a closed step is counted in ``late`` and dropped; one of the future (a wrong clock)
        is dropped.
        """
        newest = self._index(now) + 1
        for sample in samples:
            index = self._index(sample.at)
            if self._closed is not None and index <= self._closed:
                self.late += 1
            elif index <= newest and self._wanted(sample):
                self._open.setdefault(index, _Open()).add(sample, epoch_s(sample.at))

    def close(self, now: datetime) -> list[tuple[Signature, ...]]:
        """Signatures of every step that ended by ``now``, oldest step first, one a server."""
        last = self._index(now) - 1
        first = self._closed + 1 if self._closed is not None else min(self._open, default=last + 1)
        first = max(first, last + 1 - _MAX_GAP_STEPS)
        done = [self._close(index) for index in range(first, last + 1)]
        if done:
            self._closed = last
            self._open = {i: step for i, step in self._open.items() if i > last}
        return done

    def _close(self, index: int) -> tuple[Signature, ...]:
        step = self._open.get(index, _Open())
        signatures = tuple(self._signature(host, index, step) for host in self._layout.hosts)
        for key, points in step.points.items():
            if key[1] in COUNTERS:
                self._carry[key] = max(points.items())
        return signatures

    def _signature(self, host: HostSpec, index: int, step: _Open) -> Signature:
        meters = [self._meters.get((host.id, cord), ("", "")) for cord in range(host.cords)]
        cords_w = tuple(step.mean(meter) for meter in meters)
        qualities = [
            Quality.GOOD if math.isfinite(w) else step.worst.get(meter, Quality.MISSING)
            for meter, w in zip(meters, cords_w, strict=True)
        ]
        return Signature(
            server=host.id,
            at=from_epoch_s(index * self._step_s),
            step_s=self._step_s,
            cords_w=cords_w,
            values=values(
                lambda quantity: step.mean((host.id, quantity)),
                lambda quantity: self._counted(step, (host.id, quantity)),
                lambda quantity: self._air(step, quantity),
            ),
            tags=host.tags,
            quality=max(qualities, key=_WORST.index, default=Quality.MISSING),
            **{name: _means(step, meters, quantity) for name, quantity in _ELECTRIC.items()},
        )

    def _counted(self, step: _Open, key: Key) -> Increase:
        points = sorted(step.points.get(key, {}).items())
        carried = [self._carry[key]] if key in self._carry else []
        return increase([*carried, *points], 2 * self._step_s)

    def _air(self, step: _Open, quantity: str) -> float:
        read = [step.mean(key) for key in step.points if is_air(key[1], quantity)]
        return fmean(read) if read else math.nan

    def _wanted(self, sample: Sample) -> bool:
        if sample.source in self._hosts:
            return sample.quantity in COUNTERS or sample.quantity in GAUGES
        key = (sample.source, sample.quantity)
        if key in self._layout.cords or key in self._electric:
            return True
        return any(is_air(key[1], q) for q in AIR.values())

    def _index(self, at: datetime) -> int:
        return int(epoch_s(at) // self._step_s)


def _beside(meter: Key, quantity: str) -> Key:
    """The reading of a quantity where the meter reads power."""
    return meter[0], meter[1].removesuffix("power_w") + quantity


def _means(step: _Open, meters: Sequence[Key], quantity: str) -> tuple[float, ...]:
    """Mean of a quantity at each cord; nothing where it is read at none."""
    means = tuple(step.mean(_beside(meter, quantity)) for meter in meters)
    return () if all(map(math.isnan, means)) else means
