"""The agent at work: its only clock, and what the pure parts asked for."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol, assert_never

from wattcast_agent.devices.poller import Poll, Poller
from wattcast_agent.link import codec
from wattcast_agent.link.client import Link
from wattcast_agent.partner.line import in_force
from wattcast_agent.run.models import Models
from wattcast_agent.run.technician import HOLD, PROVE, RELEASE, TRIAL
from wattcast_agent.run.watch import Watch
from wattcast_agent.safety import machine, persist
from wattcast_agent.safety.state import Answer, Kept, Moment, Safety, Tell, Write
from wattcast_agent.signature.builder import Builder
from wattcast_agent.signature.pace import next_poll_real_s, poll_period_real_s
from wattcast_agent.spool.store import Spool
from wattcast_agent.step import Effect, Inputs, Keep, Send, Setup, State, Wrote, step
from wattcast_configs.rack import Rack
from wattcast_core.clock import DataClock
from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.errors import DataError, Refused, WattcastError
from wattcast_core.messages import Batch, Champions, Hello, Lease, Welcome
from wattcast_core.units import epoch_s, from_epoch_s

_log = logging.getLogger("wattcast.agent")
_SAFETY = "safety"
_FAST_REAL_S = 0.15  # between polls while a switch is expected to move
_SLACK_REAL_S = 0.02  # on top of the longest of the last polls, before a step's end
_WRITE_REAL_S = 5.0
_STAND_BY_REAL_S = 0.2  # between two looks whether to take over
_COPY_REAL_S = 2.0  # for the partner's copy to be in etcd, before a write


class Directory(Protocol):
    """Where coordinators are; has to be started."""

    async def start(self) -> None:
        """Begin to look."""

    async def address(self) -> str:
        """``host:port``."""

    def failed(self, address: str) -> None:
        """Prefer others."""

    async def stop(self) -> None:
        """Stop looking."""


class Agent:
    """One rack's agent: polls, builds signatures, forecasts, sends, and obeys within interlocks."""

    def __init__(
        self,
        rack: Rack,
        setup: Setup,
        poller: Poller,
        spool: Spool,
        models: Models,
        watch: Watch,
    ) -> None:
        self._models = models
        self._rack, self._poller, self._spool, self._watch = rack, poller, spool, watch
        self._clock = rack.clock.clock()
        self._commands: list[AtsCommand] = []
        self._wrote: list[Wrote] = []
        self._token = 0
        self._unkept: Kept | None = None
        self._due_s = 0.0
        self._durations = deque([0.05], maxlen=10)
        self._nudge = asyncio.Event()
        self._stopping = self._stood_by = False
        self._link: Link | None = None
        text = spool.get(_SAFETY)
        moment = self._moment(time.time())
        safety, self._owed = machine.resume(persist.load(text) if text else Kept(), moment)
        builder = Builder(setup.layout, rack.agent.step_s)
        self._state = State(setup, builder, models, safety)

    def stop(self) -> None:
        """End ``run`` after the beat under way."""
        self._stopping = True
        self._nudge.set()

    async def run(self, directory: Directory) -> None:
        """Serve until ``stop``; closes what it was given."""
        await directory.start()
        self._link = Link(self._spool, directory, self._hello, self._take, self._watch.beat)
        sending = asyncio.create_task(self._link.run())
        following = asyncio.create_task(self._models.run(self._link.fetch, self._link.report))
        try:
            owed = () if self._watch.has_partner else self._owed  # the partner may be at it by now
            await self._carry_out([Keep(self._state.safety.kept), *owed])
            while not self._stopping:
                await self._beat_safely()
        finally:
            await self._poller.rest()
            await self._watch.leave(self._link)
            for task in (sending, following):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await directory.stop()
            await self._poller.close()

    async def _beat_safely(self) -> None:
        try:
            await self._beat()
        except Exception:  # noqa: BLE001 - the rack must not go unwatched because of one odd reading
            _log.exception("beat failed; going on")
            self._due_s = time.monotonic() + self._rack.agent.poll_real_s
        await self._sleep()

    async def _beat(self) -> None:
        if not self._watch.on_duty():
            await self._stand_by()
            return
        if self._watch.copy or self._stood_by:
            await self._take_over()
        poll, polled, began_s = Poll((), ()), 0.0, time.monotonic()
        if began_s >= self._due_s:
            polled = time.time()
            scrape_real_s = _scrape_real_s(self._rack, self._clock, polled)
            poll = await self._poller.poll(self._due_s or began_s, scrape_real_s)
            self._durations.append(time.monotonic() - began_s)
        real_s = time.time()
        moment = self._moment(real_s)
        if self._unkept is not None:
            self._keep(self._unkept)
        holds = in_force(self._spool.under(HOLD))
        released, proofs = self._taken(RELEASE), self._taken(PROVE)
        # Emptied last: what raises above must not lose them.
        commands, self._commands = tuple(self._commands), []
        wrote, self._wrote = tuple(self._wrote), []
        inputs = Inputs(
            real_s=real_s,
            poll_s=moment.poll_s,
            samples=poll.samples,
            devices=poll.devices,
            polled_real_s=polled,
            commands=commands,
            wrote=wrote,
            token=self._token,
            holds=holds,
            released=tuple(released),
            proofs=proofs,
            identities=self._poller.identities,
            clock=self._watch.clock,
        )
        self._state, effects = step(self._state, inputs, moment.now)
        if polled:
            self._due_s = self._next_poll()
        await self._carry_out(effects)

    async def _stand_by(self) -> None:
        """The partner reads the devices, and is obeyed."""
        if not self._stood_by:
            self._stood_by = True
            await self._poller.rest()
        for command in self._commands:
            _log.warning("command %s is the partner's: this agent stands by", command.id)
        self._commands = []
        self._due_s = time.monotonic() + _STAND_BY_REAL_S

    async def _take_over(self) -> None:
        """Begin where the partner stopped: its tokens, results, dwell and lock-outs hold here."""
        _log.info("reads the rack's devices from now on")
        safety: Safety = self._state.safety
        owed: tuple[Effect, ...] = ()
        if self._watch.copy:
            safety, owed = machine.resume(self._inherited(safety.kept), self._moment(time.time()))
        builder = Builder(self._state.setup.layout, self._rack.agent.step_s)
        self._state = replace(self._state, safety=safety, builder=builder, devices={})
        self._stood_by, self._due_s = False, 0.0
        await self._carry_out([Keep(safety.kept), *owed])
        if self._unkept is None:
            self._watch.adopted()

    def _inherited(self, mine: Kept) -> Kept:
        try:
            return machine.merge(persist.load(self._watch.copy), mine)
        except DataError as error:
            _log.error("the partner's safety state: %s", error)
            switches = self._state.setup.switches
            return machine.bar(mine, switches, "what the partner did cannot be read")

    async def _sleep(self) -> None:
        """Until the next poll, the end of the step, or something arrives.

        A wait is never longer than a period, so a step of the wall clock shifts one beat at most.
        """
        real_s, step_s = time.time(), self._rack.agent.step_s
        boundary_s = (epoch_s(self._clock.now(real_s)) // step_s + 1) * step_s
        boundary = self._clock.real_s(from_epoch_s(boundary_s))
        wait_s = min(self._due_s - time.monotonic(), boundary - real_s)
        if self._stopping or self._commands or self._wrote:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nudge.wait(), max(0.0, wait_s))
        self._nudge.clear()

    def _next_poll(self) -> float:
        a, real_s = self._rack.agent, time.time()
        lead_real_s = max(self._durations) + _SLACK_REAL_S
        due = next_poll_real_s(self._clock, real_s, a.step_s, a.poll_real_s, lead_real_s)
        wait_s = min(due - real_s, _FAST_REAL_S if self._watching(real_s) else due - real_s)
        return time.monotonic() + wait_s

    def _watching(self, real_s: float) -> bool:
        """Whether a switch is expected to move or return soon."""
        for ats, running in self._state.safety.kept.running.items():
            limits = self._state.setup.switches[ats]
            if real_s - running.since_real_s < 2 * limits.deadline_real_s:
                return True
        return False

    def _moment(self, real_s: float) -> Moment:
        a = self._rack.agent
        period = poll_period_real_s(self._clock, real_s, a.step_s, a.poll_real_s)
        return Moment(self._clock.now(real_s), real_s, period * self._clock.speed(real_s))

    def _hello(self) -> Hello:
        a, token = self._rack.agent, self._state.safety.kept.highest_token
        return Hello(agent=a.id, rack=a.rack, highest_token=token)

    def _take(self, message: AtsCommand | Welcome | Lease | Champions) -> None:
        match message:
            case Welcome(token=token):
                self._token = max(self._token, token)
                self._tell_of_models()
            case AtsCommand():
                self._commands.append(message)
            case Lease():
                self._watch.leased(message)
                return
            case Champions(champions):
                self._models.want(champions)
                return
            case _:
                assert_never(message)
        self._nudge.set()

    def _tell_of_models(self) -> None:
        if self._link is not None:
            for report in self._models.reports():
                self._link.report(report)

    def _taken(self, prefix: str) -> dict[str, str]:
        """What a technician at the rack asked for; asked once, done once."""
        found = self._spool.under(prefix)
        for ats in found:
            self._spool.remove(prefix + ats)
        return found

    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        effects, kept = tuple(effects), True
        writes = any(isinstance(effect, Write) for effect in effects)
        for effect in effects:
            match effect:
                case Keep():
                    kept = self._keep(effect.kept) and await self._copy(effect.kept, wait=writes)
                case Write():
                    self._wrote.append(await self._write(effect.command, kept=kept))
                case Answer():
                    self._answer(effect.result)
                case Tell():
                    self._tell(effect)
                case Send():
                    self._send(effect.batch)
                case _:
                    assert_never(effect)

    def _keep(self, kept: Kept) -> bool:
        """Write to disk; what fails is tried again at the next beat."""
        self._unkept = kept
        try:
            self._spool.put(_SAFETY, persist.dump(kept))
        except DataError as error:
            _log.error("%s", error)
            return False
        self._unkept = None
        return True

    async def _copy(self, kept: Kept, *, wait: bool) -> bool:
        """Have it kept for the partner; a write waits until it is."""
        if self._link is None or not (self._watch.has_partner and self._watch.on_duty()):
            return True
        number = self._link.copy(persist.dump(kept))
        return not wait or await self._link.copied(number, _COPY_REAL_S)

    async def _write(self, command: AtsCommand, *, kept: bool) -> Wrote:
        if not kept:
            why = "the command could not be kept first, on disk or for the partner"
            return Wrote(command, why, sent=False)
        if time.time() >= command.expires_real_s:
            return Wrote(command, "expired just before the write", sent=False)
        try:
            async with asyncio.timeout(_WRITE_REAL_S):
                await self._poller.prefer(command.ats, command.to_source)
        except TimeoutError:
            return Wrote(command, f"no answer within {_WRITE_REAL_S:g} s")
        except Refused as error:
            return Wrote(command, str(error), sent=False)
        except WattcastError as error:
            return Wrote(command, str(error))
        self._due_s = min(self._due_s, time.monotonic() + _FAST_REAL_S)
        return Wrote(command)

    def _answer(self, result: CommandResult) -> None:
        text = f"{result.outcome}{': ' if result.why else ''}{result.why}"
        _log.info("command %s for %s, token %d: %s", result.id, result.ats, result.token, text)
        if self._link is not None:
            self._link.answer(result)

    def _tell(self, tell: Tell) -> None:
        _log.info("commissioning of %s: %s", tell.ats, tell.text)
        try:
            self._spool.put(TRIAL + tell.ats, tell.text)
        except DataError as error:
            _log.error("%s", error)

    def _send(self, batch: Batch) -> None:
        devices = tuple(self._with_health(d) for d in batch.devices)
        try:
            self._spool.append(codec.pack(replace(batch, devices=devices)))
        except DataError as error:
            _log.error("batch lost: %s", error)
        if self._link is not None:
            self._link.wake()

    def _with_health(self, device: DeviceState) -> DeviceState:
        if device.device != self._rack.agent.id:
            return device
        health = {
            "spool_pending": float(self._spool.count),
            "spool_dropped_total": float(self._spool.dropped),
            "late_samples_total": float(self._state.builder.late),
            **self._poller.health(),
            **self._watch.health(),
        }
        full = f"spool was full: {self._spool.dropped} batches lost" if self._spool.dropped else ""
        problem = "; ".join(filter(None, (device.problem, full, self._watch.problem())))
        return replace(device, readings={**device.readings, **health}, problem=problem)


def _scrape_real_s(rack: Rack, clock: DataClock, real_s: float) -> float:
    """Between two readings of a server: as wanted, but at least one a step."""
    step_real_s = rack.agent.step_s / clock.speed(real_s)
    wanted = rack.agent.scrape_real_s
    return wanted if wanted <= step_real_s else step_real_s / 2
