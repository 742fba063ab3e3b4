"""Who watches the rack: this agent or its partner; and whether this agent's clock is right."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from wattcast_agent import duty
from wattcast_agent.duty import Duty
from wattcast_agent.link.client import Link
from wattcast_agent.link.offset import ALARM_REAL_S, BARRED_REAL_S, Offset
from wattcast_agent.partner import line
from wattcast_agent.partner.line import Line, Word
from wattcast_agent.run.technician import HOLD, RELEASE
from wattcast_agent.spool.store import Spool
from wattcast_configs.rack import Partner
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.messages import Beat, Lease

_log = logging.getLogger("wattcast.agent")
_DUTY = "duty"  # "epoch, blank, 1 if it reads"
_LEAVE_REAL_S = 2.5  # a beat until the partner is granted the lease, another until it asks
_ADOPTED = "adopted"  # epoch of the lease whose safety state is on disk


class Watch:
    """Keeps the duty of one agent, and speaks for it to the coordinator and to the partner.

    Attributes:
        copy: safety state of the rack to be taken over, before anything is done; else empty.
    """

    def __init__(
        self, me: str, partner: Partner, spool: Spool, is_busy: Callable[[], bool]
    ) -> None:
        """Begin where the last run ended.

        Args:
            me: id of this agent.
            partner: the rack file's entry.
            spool: keeps the duty and the technician's holds.
            is_busy: whether a device is being read.
        """
        self.copy = ""
        self._spool, self._is_busy, self._offset = spool, is_busy, Offset()
        epoch, _, held = (spool.get(_DUTY) or "0 0").partition(" ")
        now_s = time.monotonic()
        self._duty = duty.begin(me, partner.id, int(epoch), held=held == "1", now_s=now_s)
        self._kept = (self._duty.epoch, self._duty.reads)
        self._adopted = int(spool.get(_ADOPTED) or 0)
        self._sent: dict[float, float] = {}
        self._leaving, self._partners = False, 0

    def on_duty(self) -> bool:
        """Whether this agent reads the devices from now on, and obeys commands."""
        self._become(duty.tick(self._duty, time.monotonic()))
        return self._duty.reads

    @property
    def has_partner(self) -> bool:
        """Whether the rack has a second agent."""
        return bool(self._duty.partner)

    @property
    def clock(self) -> str:
        """Why no command can be obeyed because of this machine's clock; empty if it is right."""
        return self._offset.problem(time.monotonic(), time.time(), BARRED_REAL_S)

    def problem(self) -> str:
        """What is wrong with clock or redundancy, for an operator; a lone agent is only told so."""
        now_s = time.monotonic()
        clock = self._offset.problem(now_s, time.time(), ALARM_REAL_S)
        lone = self._duty.problem(now_s) if self._duty.partner or self._duty.holder else ""
        return "; ".join(filter(None, (clock, lone)))

    def health(self) -> dict[str, float]:
        """Readings about the agent itself."""
        ahead_s = self._offset.ahead_s(time.monotonic(), time.time())
        redundant = float(not self._duty.problem(time.monotonic()))
        clock = {} if ahead_s is None else {"clock_offset_ms": 1000 * ahead_s}
        return {"monitoring_redundant": redundant, "lease_epoch": float(self._duty.epoch), **clock}

    # -- the coordinator

    def beat(self) -> Beat:
        """What to tell the coordinator every second."""
        real_s = time.time()
        self._sent = dict([*self._sent.items(), (real_s, time.monotonic())][-8:])
        return Beat(real_s, self._duty.epoch, holding=self.on_duty(), leaving=self._leaving)

    def leased(self, lease: Lease) -> None:
        """The coordinator's answer to a beat."""
        now_s = time.monotonic()
        if (sent_s := self._sent.get(lease.sent_real_s)) is not None:
            self._offset.note(sent_s, now_s, lease.real_s)
        if self._leaving:
            return
        if lease.copy and lease.holder == self._duty.me and lease.epoch > self._adopted:
            self.copy = lease.copy
        self._become(duty.leased(self._duty, lease))

    def adopted(self) -> None:
        """The safety state that belongs to the newest lease is on this agent's disk."""
        self.copy, self._adopted = "", self._duty.epoch
        self._spool.put(_ADOPTED, str(self._adopted))

    async def leave(self, link: Link) -> None:
        """This agent stops now: stay until the partner has heard so, but not for long."""
        if not (self._duty.reads and self._duty.partner):
            return
        epoch, self._leaving = self._duty.epoch, True
        self._duty = duty.left(self._duty)  # what is on disk: it held
        link.say(self.beat())
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_REAL_S):
                while self._partners <= epoch:  # noqa: ASYNC110 - the line has no event for it
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)  # the answer is on its way

    # -- the partner

    def word(self) -> Word:
        """What to tell the partner."""
        reads = self.on_duty() or self._is_busy()
        return Word(self._duty.epoch, reads, self._spool.under(HOLD))

    def asked(self, word: Word) -> None:
        """The partner asked."""
        self._take_holds(word)
        self._partners = word.epoch
        self._become(duty.asked(self._duty, word.epoch, time.monotonic()))

    def told(self, word: Word) -> None:
        """The partner answered."""
        self._take_holds(word)
        now_s = time.monotonic()
        self._become(duty.told(self._duty, word.epoch, now_s, reads=word.reads))

    def _take_holds(self, word: Word) -> None:
        """A technician's word counts at both agents, wherever it was given."""
        for ats, text in line.newer(self._spool.under(HOLD), word.holds).items():
            self._spool.put(HOLD + ats, text)
            if not line.in_force({ats: text}):
                self._spool.put(RELEASE + ats, "released")

    def _become(self, new: Duty) -> None:
        old, self._duty = self._duty, new
        if new.role is not old.role:
            _log.info("%s, epoch %d", new.role, new.epoch)
        if new.partner and (new.epoch, new.reads) != self._kept:
            try:
                self._spool.put(_DUTY, f"{new.epoch} {int(new.reads)}")
                self._kept = (new.epoch, new.reads)
            except DataError as error:
                _log.error("%s", error)


def open_line(me: str, partner: Partner, owner: Watch, secret: Callable[[str, str], str]) -> Line:
    """The line to the partner of a rack file.

    Raises:
        ConfigError: the entry is not complete.
    """
    for key in ("address", "listen", "key"):
        if not getattr(partner, key):
            raise ConfigError(f"partner.{key} is missing; both agents of a rack need it")
    return Line(me, partner.id, secret(partner.key, "partner.key").encode(), owner)


def place(address: str, key: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        ConfigError: it has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{key} '{address}': give HOST:PORT")
    return host, int(port)
