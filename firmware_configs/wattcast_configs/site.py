"""The site file: feeds, racks, power devices, servers and workloads, as commissioned."""

from dataclasses import dataclass

from wattcast_core.clock import DataClock, Segment
from wattcast_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Feed:
    """A power feed: a root of the power graph.

    Attributes:
        id: name, e.g. ``A``.
        limit_w: continuous limit while all feeds are up.
        limit_n1_w: emergency limit while another feed is lost.
        mode: ``observe``, ``advise``, ``approve`` or ``automatic``.
    """

    id: str
    limit_w: float
    limit_n1_w: float
    mode: str = "automatic"
    price_per_kwh: float = 0.2
    carbon_g_per_kwh: float = 300.0


@dataclass(frozen=True, slots=True)
class Pdu:
    """A rack PDU on one feed."""

    id: str
    rack: str
    feed: str
    limit_w: float
    limit_n1_w: float


@dataclass(frozen=True, slots=True)
class Ats:
    """A rack transfer switch; sources A and B hang on rack PDUs."""

    id: str
    rack: str
    source_a: str
    source_b: str
    rating_w: float
    preferred: str = "A"


@dataclass(frozen=True, slots=True)
class Server:
    """A server (or an appliance, if it cannot host).

    Attributes:
        cords: ids of what each cord hangs on: rack PDUs, or one ATS.
        shares: fraction of power each cord carries while all are live.
        idle_w: power without workload.
        full_w: power at full use.
        cpu: capacity in servers' worth of CPU (1.0 = the whole machine).
        engine: base URL of the workload engine; empty if it cannot host.
    """

    id: str
    rack: str
    cords: tuple[str, ...]
    shares: tuple[float, ...]
    idle_w: float
    full_w: float
    cpu: float = 1.0
    mem_gib: float = 64.0
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """An application instance.

    Attributes:
        server: where it was placed when the site was commissioned.
        cpu: CPU it needs, in servers' worth.
        movable: whether Wattcast may migrate it.
        url: where its users reach it (the redirector's listener).
        quorum: group whose members must sit in distinct racks; empty if none.
    """

    id: str
    server: str
    application: str
    version: str = ""
    os: str = ""
    criticality: int = 3
    movable: bool = False
    cpu: float = 0.1
    mem_gib: float = 1.0
    state_gib: float = 0.0
    url: str = ""
    quorum: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """The whole site file; names are unique, references resolve."""

    name: str
    feed: tuple[Feed, ...]
    pdu: tuple[Pdu, ...]
    server: tuple[Server, ...]
    ats: tuple[Ats, ...] = ()
    workload: tuple[Workload, ...] = ()

    def __post_init__(self) -> None:
        feeds, pdus = {f.id for f in self.feed}, {p.id for p in self.pdu}
        switches, servers = {a.id for a in self.ats}, {s.id for s in self.server}
        for pdu in self.pdu:
            _known(pdu.feed, feeds, f"pdu {pdu.id}: feed")
        for ats in self.ats:
            _known(ats.source_a, pdus, f"ats {ats.id}: source_a")
            _known(ats.source_b, pdus, f"ats {ats.id}: source_b")
        for server in self.server:
            for cord in server.cords:
                _known(cord, pdus | switches, f"server {server.id}: cords")
            if len(server.cords) != len(server.shares) or not 1 <= len(server.cords) <= 2:
                raise ConfigError(
                    f"server {server.id}: give one or two cords, and a share for each"
                )
        for workload in self.workload:
            _known(workload.server, servers, f"workload {workload.id}: server")


def _known(name: str, names: set[str], place: str) -> None:
    if name not in names:
        raise ConfigError(f"{place}: '{name}' is not defined; known: {', '.join(sorted(names))}")


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """The data clock; without segments it is the real clock."""

    segments: tuple[tuple[float, float, float], ...] = ()

    def clock(self) -> DataClock:
        """The data clock of these segments (real_s, data_s, speed)."""
        return (
            DataClock(tuple(Segment(*s) for s in self.segments)) if self.segments else DataClock()
        )
