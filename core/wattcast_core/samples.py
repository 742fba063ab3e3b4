"""One reading of one quantity at one source."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Quality(StrEnum):
    """How far a value can be trusted. Missing is explicit, never 0."""

    GOOD = "good"
    STALE = "stale"
    MISSING = "missing"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading in SI units.

    Invariants: ``value`` is NaN unless the quality is good or stale.

    Attributes:
        source: id of the device or server that was read.
        quantity: name with unit (see ``points``), e.g. ``inlet.1.power_w``; of a host ``load1``.
        value: the reading; NaN where there is none.
        at: data time (aware UTC) of the reading.
        quality: how far it can be trusted.
    """

    source: str
    quantity: str
    value: float
    at: datetime
    quality: Quality = Quality.GOOD

    @property
    def usable(self) -> bool:
        """True if the value may feed a signature."""
        return self.quality is Quality.GOOD and math.isfinite(self.value)


def missing(source: str, quantity: str, at: datetime) -> Sample:
    """The explicit gap: a sample that says nothing was read."""
    return Sample(source, quantity, math.nan, at, Quality.MISSING)
