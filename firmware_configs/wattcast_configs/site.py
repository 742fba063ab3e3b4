"""The site file: feeds, racks, power devices, servers and workloads, as commissioned."""

import math
from dataclasses import dataclass, field
from functools import cached_property

from wattcast_configs.curve import Curve
from wattcast_configs.power import (
    Bank,
    Board,
    Breaker,
    CommonMode,
    Electrical,
    Generator,
    Rack,
    Rating,
    Row,
    Sts,
    Tie,
    Transformer,
    Ups,
    Utility,
)
from wattcast_configs.wiring import Node, wire
from wattcast_core.clock import DataClock, Segment
from wattcast_core.errors import ConfigError

MOST_CORDS = 8
SHARE_TOLERANCE = 0.002  # shares are written with three decimals
UNMEASURED_DOUBT = 0.15  # two of 18 recorded dual-supply nodes split 36:64 and 62:38 (fasrc, 2025)


@dataclass(frozen=True, slots=True)
class Feed:
    """A power feed: what one of a server's cords is meant to hang on; a root if it has no source.

    Attributes:
        id: name, e.g. ``A``.
        limit_w: continuous limit while all feeds are up; 0 = as its rating says.
        limit_n1_w: emergency limit while another feed is lost; 0 = as its rating says.
        mode: ``observe``, ``advise``, ``approve`` or ``automatic``.
        source: what it hangs on, where the site file knows; its rating then may be left out.
        curve: name of the trip curve of what protects it.
    """

    id: str
    limit_w: float = 0.0
    limit_n1_w: float = 0.0
    mode: str = "automatic"
    price_per_kwh: float = 0.2
    carbon_g_per_kwh: float = 300.0
    source: str = ""
    rating: Rating | None = None
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Pdu:
    """A rack PDU on one feed.

    Attributes:
        feed: its feed; may be left out where ``source`` leads to it.
        limit_w, limit_n1_w: as of a feed; 0 = as its rating says.
        source: breaker or board that it hangs on, if not the feed itself.
        lines: 3 or 1; 0 where the site file does not say.
        line: of a one-line PDU, to which of its source's lines it connects, e.g. ``L1`` or
            ``L1-L2``.
        rotation: of a three-line PDU, which of its source's lines its own L1, L2 and L3 are.
    """

    id: str
    rack: str
    feed: str = ""
    limit_w: float = 0.0
    limit_n1_w: float = 0.0
    source: str = ""
    rating: Rating | None = None
    lines: int = 0
    line: str = ""
    rotation: str = "L1 L2 L3"
    curve: str = ""
    bank: tuple[Bank, ...] = ()


@dataclass(frozen=True, slots=True)
class Ats:
    """A rack transfer switch; sources A and B hang on rack PDUs (``pdu`` or ``pdu:L1``)."""

    id: str
    rack: str
    source_a: str
    source_b: str
    rating_w: float = 0.0
    preferred: str = "A"
    rating: Rating | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server (or an appliance, if it cannot host).

    Attributes:
        cords: one to eight, each with what it hangs on: a rack PDU, an outlet's way of connection
            (``pdu:L1``, ``pdu:L1-L2``, ``pdu:bank``), or an ATS.
        shares: fraction of power each cord carries while all are live; equal if left out.
        idle_w: power without workload.
        full_w: power at full use.
        cpu: capacity in servers' worth of CPU (1.0 = the whole machine).
        engine: base URL of the workload engine; empty if it cannot host.
        needed: live cords without which it goes dark.
        psu_w: what one power supply gives; 0 = not known.
        spare_below_w: hot spare: below this power the first ``needed`` cords carry all.
        share_doubt: by how much a cord's share may be more than stated; not known: 0.15 if the
            shares are left out, else 0.
        cord_a: amperes that a cord, its plug and the supply's inlet bear; 0 = not known.
        power_factor: lowest true power factor; 0 = as the site.
    """

    id: str
    rack: str
    cords: tuple[str, ...]
    shares: tuple[float, ...] = ()
    idle_w: float = 0.0
    full_w: float = 0.0
    cpu: float = 1.0
    mem_gib: float = 64.0
    engine: str = ""
    needed: int = 1
    psu_w: float = 0.0
    spare_below_w: float = 0.0
    share_doubt: float = -1.0
    cord_a: float = 0.0
    power_factor: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.cords) <= MOST_CORDS:
            raise ConfigError(f"server {self.id}: give one to {MOST_CORDS} cords, not"
                              f" {len(self.cords)}")  # fmt: skip
        if self.shares and len(self.shares) != len(self.cords):
            raise ConfigError(
                f"server {self.id}: {len(self.cords)} cords but {len(self.shares)} shares; give"
                " one for each, or none for equal ones"
            )
        if not 1 <= self.needed <= len(self.cords):
            raise ConfigError(
                f"server {self.id}: needs {self.needed} of {len(self.cords)} cords; give 1 to"
                f" {len(self.cords)}"
            )
        self._check_shares()

    def _check_shares(self) -> None:
        total = sum(self.split)
        bad = [s for s in self.split if not (math.isfinite(s) and s >= 0)]
        if bad or not math.isclose(total, 1.0, abs_tol=SHARE_TOLERANCE):
            raise ConfigError(
                f"server {self.id}: shares {list(self.shares)} add up to {total:g}; they must not"
                " be negative and must add up to 1"
            )

    @property
    def split(self) -> tuple[float, ...]:
        """Share of each cord, as stated or equal."""
        return self.shares or (1 / len(self.cords),) * len(self.cords)

    @property
    def doubt(self) -> float:
        """By how much each cord's share may be more than ``split``."""
        if self.share_doubt >= 0 or len(self.cords) == 1:
            return max(self.share_doubt, 0.0)
        return 0.0 if self.shares else UNMEASURED_DOUBT


@dataclass(frozen=True, slots=True)
class Workload:
    """An application instance.

    Attributes:
        server: where it was placed when the site was commissioned.
        cpu: CPU it needs, in servers' worth.
        movable: whether Wattcast may migrate it.
        url: where its users reach it (the redirector's listener).
        quorum: group whose members must sit in distinct racks; empty if none.
        stop_s: until its load is gone when it is told to stop (Kubernetes grants 30 s by default).
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
    stop_s: float = 30.0


@dataclass(frozen=True)  # no slots: the wiring is kept once made
class Site:
    """The whole site file; names are unique, references resolve, nothing feeds itself.

    Feeds and rack PDUs with limits in watts are enough; everything else is there for rooms that
    are to be judged in amperes and up to the utility.
    """

    name: str
    feed: tuple[Feed, ...]
    pdu: tuple[Pdu, ...]
    server: tuple[Server, ...]
    ats: tuple[Ats, ...] = ()
    workload: tuple[Workload, ...] = ()
    electrical: Electrical = field(default_factory=Electrical)
    utility: tuple[Utility, ...] = ()
    generator: tuple[Generator, ...] = ()
    transformer: tuple[Transformer, ...] = ()
    board: tuple[Board, ...] = ()
    tie: tuple[Tie, ...] = ()
    sts: tuple[Sts, ...] = ()
    ups: tuple[Ups, ...] = ()
    breaker: tuple[Breaker, ...] = ()
    rack: tuple[Rack, ...] = ()
    row: tuple[Row, ...] = ()
    common_mode: tuple[CommonMode, ...] = ()
    curve: tuple[Curve, ...] = ()

    def __post_init__(self) -> None:
        nodes = {node.id: node for node in self.nodes}
        for ats in self.ats:
            for key, source in (("source_a", ats.source_a), ("source_b", ats.source_b)):
                kinds = ("rack PDU", "phase", "bank")
                known = {n for n in nodes if nodes[n].kind in kinds}
                _known(source, known, f"ats {ats.id}: {key}")
        hangs = {n for n in nodes if nodes[n].kind in ("rack PDU", "phase", "bank", "ATS")}
        for server in self.server:
            for cord in server.cords:
                _known(cord, hangs, f"server {server.id}: cords")
                if nodes[cord].lines == 3:
                    raise ConfigError(
                        f"server {server.id}: cords: '{cord}' has three lines; say which, e.g."
                        f" '{cord}:L1' or '{cord}:L1-L2'"
                    )
        self._check_names(set(nodes))
        self._check_ratings()

    def _check_ratings(self) -> None:
        """What carries load and trips must say how much it bears."""
        for feed in self.feed:
            _rated(feed, f"feed {feed.id}", elsewhere=bool(feed.source))
        for pdu in self.pdu:
            _rated(pdu, f"pdu {pdu.id}", elsewhere=False)
        for ats in self.ats:
            if not (ats.rating_w > 0 or ats.rating):
                raise ConfigError(f"ats {ats.id}: give rating_w (watts), or a rating")

    def _check_names(self, nodes: set[str]) -> None:
        servers = {s.id for s in self.server}
        for workload in self.workload:
            _known(workload.server, servers, f"workload {workload.id}: server")
        for common in self.common_mode:
            for lost in common.lose:
                _known(lost, nodes, f"common_mode {common.id}: lose")
        rows = {row.id for row in self.row}
        for rack in self.rack:
            if rack.row:
                _known(rack.row, rows, f"rack {rack.id}: row")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All power nodes, sources before what they feed."""
        return wire(self)


def _rated(part: Feed | Pdu, place: str, *, elsewhere: bool) -> None:
    if part.limit_w > 0 and not part.limit_n1_w > 0:
        raise ConfigError(
            f"{place}: key 'limit_n1_w' is missing; add what it may carry while a loss stands"
        )
    known = part.limit_w > 0 or part.rating is not None or elsewhere
    if not known or part.limit_w < 0 or part.limit_n1_w < 0:
        raise ConfigError(
            f"{place}: no limit is known; give limit_w and limit_n1_w (watts, greater than 0), or"
            " a rating"
        )


def _known(name: str, names: set[str], place: str) -> None:
    if name not in names:
        raise ConfigError(
            f"{place}: '{name}' is not defined; known: {', '.join(sorted(names)[:20])}"
        )


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """The data clock; without segments it is the real clock."""

    segments: tuple[tuple[float, float, float], ...] = ()

    def clock(self) -> DataClock:
        """The data clock of these segments (real_s, data_s, speed)."""
        return (
            DataClock(tuple(Segment(*s) for s in self.segments)) if self.segments else DataClock()
        )
