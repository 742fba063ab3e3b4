"""States of devices as the agent read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from wattcast_core.samples import Quality


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device in one poll.

    Attributes:
        device: device id of the rack file.
        kind: ``pdu``, ``meter``, ``ats``, ``sensor`` or ``host``.
        at: data time of the poll.
        quality: worst quality of the points an act would rest on.
        readings: name (see ``points``) -> value; of an ATS also ``ats.active_source`` and
            ``ats.preferred_source`` (1 = A, 2 = B, 0 = none).
        problem: what is wrong, for an operator; empty if nothing.
    """

    device: str
    kind: str
    at: datetime
    quality: Quality
    readings: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
