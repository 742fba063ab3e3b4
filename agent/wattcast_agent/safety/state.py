"""What the interlocks remember, and what they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wattcast_agent.safety.reading import Reading
from wattcast_core.commands import AtsCommand, CommandResult

_SOURCES = ("", "A", "B")


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
        feed: name of the feed it moves to; empty while nothing was written.
    """

    command: AtsCommand
    phase: Phase
    since: datetime
    since_real_s: float
    error: str = ""
    read: bool = False
    feed: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A commissioning under way.

    Attributes:
        witness: who stands at the rack.
        since: data time of its begin.
        identity: what the switch said of itself then.
        baseline: its preferred source then.
        legs: one entry a verified transfer.
        failed: why it came to nothing; empty while it goes on.
    """

    witness: str
    since: datetime
    identity: str
    baseline: str
    legs: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Commission:
    """A witnessed transfer both ways, and of what.

    Attributes:
        identity: what the switch said of itself.
        terms: fingerprint of the limits it was proven under.
        baseline: preferred source as commissioned.
    """

    identity: str
    terms: str
    baseline: str
    witness: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """What must survive a restart; written to disk before the write it allows.

    Attributes:
        highest_token: highest fencing token ever seen.
        results: command id -> its first result, oldest first.
        running: ATS -> the command under way.
        transfers: ATS -> data times of its transfers in the last hour, its own included.
        lockouts: ATS -> why nothing may be commanded until a technician releases it.
        preferences: ATS -> the preferred source as last commanded, or as found at first.
        trials: ATS -> a commissioning under way.
        commissions: ATS -> what its commissioning proved.
    """

    highest_token: int = 0
    results: Mapping[str, CommandResult] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)
    transfers: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    lockouts: Mapping[str, str] = field(default_factory=dict)
    preferences: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, Trial] = field(default_factory=dict)
    commissions: Mapping[str, Commission] = field(default_factory=dict)


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

    def settings(self, ats: str) -> dict[str, float]:
        """Source commanded last, and as commissioned, as readings; what is not known lacks."""
        proven = self.kept.commissions.get(ats)
        named = {
            "ats.commanded_source": self.kept.preferences.get(ats),
            "ats.baseline_source": proven.baseline if proven else None,
        }
        return {n: float(_SOURCES.index(s)) for n, s in named.items() if s is not None}

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


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the technician at the rack how the commissioning of a switch goes."""

    ats: str
    text: str


Act = Write | Answer | Tell


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is judged.

    Attributes:
        now: data time.
        real_s: real time (epoch s).
        poll_s: data seconds between two polls.
        clock: why the real clock cannot be trusted; empty if it can. An expiry means nothing then.
    """

    now: datetime
    real_s: float
    poll_s: float
    clock: str = ""
