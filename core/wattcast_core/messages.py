"""What agent and coordinator say to each other: typed twins of the protobuf contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast
from wattcast_core.samples import Sample
from wattcast_core.signature import FEATURES, Signature

PROTOCOL_VERSION = 2
SPOKEN_VERSIONS = (1, 2)  # what a coordinator understands; 1 sent signatures and samples row by row


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


AgentMessage = Hello | Batch | CommandResult
CoordinatorMessage = Welcome | Ack | AtsCommand | Rejected
