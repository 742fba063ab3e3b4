"""Which of a rack's two agents reads its devices. Pure.

The coordinator's lease says who holds them; the partner is asked directly, too, so that nobody
begins while the other still reads:

- An agent that was granted the lease waits until its partner has said that it does not read, or has
  answered none of its questions for SILENCE_REAL_S.
- A holder goes on without a coordinator. It stops when the lease, or its partner, shows a newer
  epoch than its own.
- An agent that is started again begins only after it has heard that nobody took over meanwhile.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from wattcast_core.messages import Lease

SILENCE_REAL_S = 3.0


class Role(StrEnum):
    """What an agent does about the devices."""

    LONE = "lone"  # has no partner: always reads
    HOLDER = "holder"  # reads
    TAKING = "taking over"  # was granted the lease; the partner may still read
    RESUMING = "resuming"  # held it before a restart; somebody may have taken over
    STANDBY = "standby"


_WANTING = (Role.TAKING, Role.RESUMING)


@dataclass(frozen=True, slots=True)
class Duty:
    """The state of one agent.

    Attributes:
        partner: id of the other agent; empty without one.
        epoch: of the newest lease known.
        partner_s: of the partner's last word; before the first one, of this agent's start.
        holder: who holds the newest lease, as far as known.
        redundant: as the last lease says.
    """

    me: str
    partner: str = ""
    role: Role = Role.LONE
    epoch: int = 0
    partner_s: float = 0.0
    holder: str = ""
    redundant: bool = False

    @property
    def reads(self) -> bool:
        """Whether devices are read, and commands obeyed."""
        return self.role in (Role.LONE, Role.HOLDER)

    def problem(self, now_s: float) -> str:
        """What is wrong with the redundancy, for an operator; empty if nothing."""
        if not self.partner:
            strange = self.holder not in ("", self.me)
            serves = f"; {self.holder} serves this rack, too: give both a [partner]"
            return f"monitoring not redundant: no partner{serves if strange else ''}"
        if now_s - self.partner_s > SILENCE_REAL_S and not self.redundant:
            return f"monitoring not redundant: {self.partner} is silent"
        return ""


def begin(me: str, partner: str, epoch: int, *, held: bool, now_s: float) -> Duty:
    """At start; ``epoch`` and ``held`` as they were kept."""
    if not partner:
        return Duty(me, epoch=epoch)
    role = Role.RESUMING if held else Role.STANDBY
    return Duty(me, partner, role, epoch, partner_s=now_s, holder=me if held else "")


def leased(duty: Duty, lease: Lease) -> Duty:
    """The coordinator said who holds the lease."""
    if lease.epoch < duty.epoch:
        return duty  # older than what the partner said
    duty = replace(duty, holder=lease.holder, redundant=lease.redundant)
    if not duty.partner:
        return replace(duty, epoch=lease.epoch)
    if lease.holder != duty.me:
        return replace(_become(duty, Role.STANDBY), epoch=lease.epoch)
    if lease.epoch == duty.epoch and duty.role in (Role.HOLDER, Role.TAKING):
        return duty
    return replace(_become(duty, Role.TAKING), epoch=lease.epoch)


def asked(duty: Duty, epoch: int, now_s: float) -> Duty:
    """The partner asks, and names the newest lease it knows; a newer one can only be its own."""
    duty = replace(duty, partner_s=now_s)
    if epoch <= duty.epoch or not duty.partner:
        return duty
    return replace(_become(duty, Role.STANDBY), epoch=epoch, holder=duty.partner)


def told(duty: Duty, epoch: int, now_s: float, *, reads: bool) -> Duty:
    """The partner answers whether it reads the devices."""
    duty = asked(duty, epoch, now_s)
    return _become(duty, Role.HOLDER) if not reads and duty.role in _WANTING else duty


def tick(duty: Duty, now_s: float) -> Duty:
    """Time passes: a partner that stays silent does not read."""
    silent = now_s - duty.partner_s >= SILENCE_REAL_S
    return _become(duty, Role.HOLDER) if silent and duty.role in _WANTING else duty


def left(duty: Duty) -> Duty:
    """This agent stops, and reads no more."""
    return _become(duty, Role.STANDBY)


def _become(duty: Duty, role: Role) -> Duty:
    return duty if duty.role is role else replace(duty, role=role)
