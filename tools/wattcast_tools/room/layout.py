"""What the room is built of: plain facts, no state."""

from dataclasses import dataclass

from wattcast_tools.room.traces import Platform
from wattcast_tools.room.trips import TripCurve

VOLTAGE_V = 230.0


@dataclass(frozen=True)
class Feed:
    """A feed with its UPS: continuous limit, emergency limit, and the curve it trips on."""

    id: str
    rating_w: float
    limit_w: float
    limit_n1_w: float
    curve: TripCurve


@dataclass(frozen=True)
class Pdu:
    """A rack PDU; side ``a`` hangs on the rack's first feed."""

    id: str
    rack: str
    feed: str
    side: str
    rating_w: float
    limit_w: float
    limit_n1_w: float
    curve: TripCurve


@dataclass(frozen=True)
class Ats:
    """A rack transfer switch; inlet 1 hangs on rPDU side a, inlet 2 on side b.

    Attributes:
        delay_real_s: real seconds between a new preference and the transfer it causes.
        return_s: data seconds a returned source is watched before the switch goes back to it.
    """

    id: str
    rack: str
    pdus: tuple[str, str]
    rating_w: float
    delay_real_s: float = 0.3
    return_s: float = 30.0


@dataclass(frozen=True)
class Server:
    """A machine. ``share_a`` is what the cord on side a carries; None: behind the rack's ATS."""

    id: str
    rack: str
    platform: Platform
    share_a: float | None
    hosts: bool


@dataclass(frozen=True)
class Workload:
    """An application instance.

    Attributes:
        cpu_request: what it was sized for (1.0 = a whole server); known to operators.
        cpu: its usual use. Known to the room only.
        drift_cpu: what the story adds to it. Known to the room only.
        machines: the recorded machines it replays.
    """

    id: str
    server: str
    application: str
    version: str
    criticality: int
    movable: bool
    mem_gib: float
    state_gib: float
    cpu_request: float
    cpu: float
    drift_cpu: float
    machines: tuple[int, int]


@dataclass(frozen=True)
class Event:
    """A feed is lost, or comes back, at a data time (seconds after the story's start)."""

    at_s: float
    feed: str
    up: bool = False


@dataclass(frozen=True)
class Layout:
    """The whole room, in a fixed order that all arrays follow."""

    feeds: tuple[Feed, ...]
    racks: tuple[str, ...]
    pdus: tuple[Pdu, ...]
    switches: tuple[Ats, ...]
    servers: tuple[Server, ...]
    workloads: tuple[Workload, ...]
