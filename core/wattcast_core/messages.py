"""What agent and coordinator say to each other: typed twins of the protobuf contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.models import Champion, ModelReport
from wattcast_core.samples import Sample
from wattcast_core.signature import FEATURES, Signature

PROTOCOL_VERSION = 4
# What a coordinator understands: 1 sent signatures and samples row by row, 2 knew no beats,
# 3 no models.
SPOKEN_VERSIONS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of an agent: who it is and which protocol versions it speaks."""

    agent: str
    rack: str
    versions: tuple[int, ...] = (PROTOCOL_VERSION,)
    highest_token: int = 0
    features: tuple[str, ...] = FEATURES


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything new since the last batch; kept by the agent until acknowledged.

    Attributes:
        sequence: increases by one a batch, persists over restarts of the agent.
        live: False for a batch that waited in the spool while the coordinator was away.
    """

    sequence: int
    samples: Sequence[Sample] = ()
    signatures: Sequence[Signature] = ()
    forecasts: tuple[Forecast, ...] = ()
    devices: tuple[DeviceState, ...] = ()
    live: bool = True


@dataclass(frozen=True, slots=True)
class Welcome:
    """The coordinator's answer to a Hello.

    Attributes:
        version: the protocol version to speak from now on.
        token: the leader's fencing token.
        acknowledged: highest sequence already stored (-1 = none).
    """

    version: int
    token: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Ack:
    """All batches up to this sequence are stored."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The coordinator will not talk to this agent: wrong version, not the leader."""

    why: str


@dataclass(frozen=True, slots=True)
class Beat:
    """An agent's word every second, answered by a Lease.

    Attributes:
        sent_real_s: the agent's clock.
        epoch: of the newest lease it knows of; 0 = none.
        holding: it reads the rack's devices.
        leaving: it stops now; its partner may take over at once.
    """

    sent_real_s: float
    epoch: int = 0
    holding: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """Which agent reads a rack's devices, and what time it is at the coordinator.

    Attributes:
        sent_real_s: of the Beat that is answered.
        real_s: the coordinator's clock.
        epoch: rises whenever another agent takes over.
        holder: id of the agent that reads.
        redundant: another agent of the rack stands by.
        copy: safety state of the rack, for a holder that took over; else empty.
    """

    sent_real_s: float
    real_s: float
    epoch: int
    holder: str
    redundant: bool = False
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """The holder's safety state, to be kept for its partner; ``number`` rises."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Copied:
    """All copies up to this number are kept in etcd."""

    number: int


@dataclass(frozen=True, slots=True)
class Champions:
    """All champions, after a Welcome and whenever one changed."""

    champions: tuple[Champion, ...]


AgentMessage = Hello | Batch | CommandResult | Beat | Copy | ModelReport
CoordinatorMessage = Welcome | Ack | AtsCommand | Rejected | Lease | Copied | Champions
