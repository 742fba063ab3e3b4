"""What the decision core knows besides this cycle's inputs when it lays out a problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Shift:
    """A finished migration that readings may not show in full yet.

    Attributes:
        watts_w: dynamic power it took along, in watts of the reference hardware (eff 1).
        at: data time at which it was seen finished.
    """

    workload: str
    source: str
    target: str
    watts_w: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Confirmed facts and restrictions.

    Attributes:
        lost: feeds without voltage.
        ats: active source of each ATS, 0 = parent (A), 1 = alternative (B); last known.
        ats_barred: ATS that may not be commanded, and why.
        frozen: feeds on which nothing may be done (observe only, or doubtful).
        resting: workloads that may not move yet (dwell).
        no_target: servers that may not receive a workload for now.
        shifts: finished migrations.
    """

    lost: frozenset[str] = frozenset()
    ats: Mapping[str, int] = field(default_factory=dict)
    ats_barred: Mapping[str, str] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    no_target: frozenset[str] = frozenset()
    shifts: tuple[Shift, ...] = ()
