"""Commands to transfer switches and what became of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What an ATS command led to; only ``transferred`` is verified."""

    TRANSFERRED = "transferred"
    PREFERENCE_SET_NOT_MOVED = "preference_set_not_moved"
    MOVED_THEN_RETURNED = "moved_then_returned"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AtsCommand:
    """An order to bring an ATS to a source.

    Attributes:
        id: unique; an id seen before is answered with its first result, never executed again.
        token: fencing token of the leader (etcd create_revision of its election key).
        expires_real_s: real time (epoch s) after which the agent refuses.
        ats: device id.
        from_source: source (``A`` or ``B``) the coordinator believes active: the expected state.
        to_source: source wanted.
        most_a: current that the target feed can take more, by the coordinator's reckoning with
            the next loss in it, and that the old one could take back; 0 = not told.
    """

    id: str
    token: int
    expires_real_s: float
    ats: str
    from_source: str
    to_source: str
    most_a: float = 0.0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Answer to one command; ``why`` explains all but a plain transfer."""

    id: str
    ats: str
    token: int
    outcome: Outcome
    why: str
    at: datetime

    @property
    def verified(self) -> bool:
        """True only after the active source was read back."""
        return self.outcome is Outcome.TRANSFERRED
