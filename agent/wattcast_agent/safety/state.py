"""What the interlocks remember, and what they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wattcast_agent.safety.reading import Reading
from wattcast_core.commands import AtsCommand, CommandResult


class Phase(StrEnum):
    """How far a command is; a switch without one is idle, a finished one settled."""

    WAITING = "waiting"  # for enough trusted readings; nothing was written
    COMMANDED = "commanded"  # the preference was written; the switch has not followed
    VERIFYING = "verifying"  # it followed; a self-return would still show


@dataclass(frozen=True, slots=True)
class Running:
    """The one command under way at a switch.

    Attributes:
        since, since_real_s: data and real time at which the phase began.
        error: what the write itself answered, if it failed.
        read: whether a trusted reading came since the write.
    """

    command: AtsCommand
    phase: Phase
    since: datetime
    since_real_s: float
    error: str = ""
    read: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What must survive a restart; written to disk before the write it allows.

    Attributes:
        highest_token: highest fencing token ever seen.
        results: command id -> its first result, oldest first.
        running: ATS -> the command under way.
        transfers: ATS -> data times of its transfers in the last hour, its own included.
        lockouts: ATS -> why nothing may be commanded until a technician releases it.
    """

    highest_token: int = 0
    results: Mapping[str, CommandResult] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)
    transfers: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    lockouts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Safety:
    """State of all switches of a rack.

    Attributes:
        kept: the persistent part.
        recent: ATS -> its last readings, oldest first.
        holds: ATS -> a technician's hold, set at the rack.
    """

    kept: Kept = field(default_factory=Kept)
    recent: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    holds: Mapping[str, str] = field(default_factory=dict)

    def problem(self, ats: str) -> str:
        """What blocks this switch, for an operator; empty if nothing."""
        blocks = [("hold", self.holds.get(ats)), ("lockout", self.kept.lockouts.get(ats))]
        return "; ".join(f"{kind}: {text}" for kind, text in blocks if text is not None)


@dataclass(frozen=True, slots=True)
class Write:
    """Set the preferred source, once, and report the answer as ``wrote``."""

    command: AtsCommand


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this result to the coordinator."""

    result: CommandResult


Act = Write | Answer


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is judged.

    Attributes:
        now: data time.
        real_s: real time (epoch s).
        poll_s: data seconds between two polls.
    """

    now: datetime
    real_s: float
    poll_s: float
