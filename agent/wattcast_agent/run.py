"""Composition root: the agent's only clock and wiring."""

import asyncio
import ctypes
import fcntl
import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, assert_never

from wattcast_agent import config
from wattcast_agent.devices.poller import Poll, Poller
from wattcast_agent.discover.fixed import Fixed
from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_agent.link import codec
from wattcast_agent.link.client import Link
from wattcast_agent.safety import machine, persist
from wattcast_agent.safety.state import Answer, Kept, Moment, Tell, Write
from wattcast_agent.signature.builder import Builder
from wattcast_agent.signature.pace import next_poll_real_s, poll_period_real_s
from wattcast_agent.spool.store import Spool
from wattcast_agent.step import Effect, Forecasts, Inputs, Keep, Send, Setup, State, Wrote, step
from wattcast_configs.files import load_rack
from wattcast_configs.profiles import load_named
from wattcast_configs.rack import Rack
from wattcast_core.clock import DataClock
from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.devices import DeviceState
from wattcast_core.errors import ConfigError, DataError, Refused, Unreachable, WattcastError
from wattcast_core.messages import Batch, Hello, Welcome
from wattcast_core.units import epoch_s, from_epoch_s

_log = logging.getLogger("wattcast.agent")
_SAFETY, _HOLD, _RELEASE = "safety", "hold/", "release/"
_PROVE, _TRIAL = "prove/", "trial/"  # what a technician asks for, and what the agent tells
_M_ARENA_MAX = -8  # of malloc.h
_FAST_REAL_S = 0.15  # between polls while a switch is expected to move
_PATIENCE_REAL_S, _LOOK_REAL_S = 30.0, 0.2  # of a technician who waits for the agent
_SLACK_REAL_S = 0.02  # on top of the longest of the last polls, before a step's end


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
        self, rack: Rack, setup: Setup, poller: Poller, spool: Spool, forecasts: Forecasts
    ) -> None:
        self._rack, self._poller, self._spool = rack, poller, spool
        self._clock = rack.clock.clock()
        self._commands: list[AtsCommand] = []
        self._wrote: list[Wrote] = []
        self._token = 0
        self._unkept: Kept | None = None
        self._due_s = 0.0
        self._durations = deque([0.05], maxlen=10)
        self._nudge = asyncio.Event()
        self._stopping = False
        self._link: Link | None = None
        text = spool.get(_SAFETY)
        moment = self._moment(time.time())
        safety, self._owed = machine.resume(persist.load(text) if text else Kept(), moment)
        builder = Builder(setup.layout, rack.agent.step_s)
        self._state = State(setup, builder, forecasts, safety)

    def stop(self) -> None:
        """End ``run`` after the beat under way."""
        self._stopping = True
        self._nudge.set()

    async def run(self, directory: Directory) -> None:
        """Serve until ``stop``; closes what it was given."""
        await directory.start()
        self._link = Link(self._spool, directory, self._hello, self._take)
        sending = asyncio.create_task(self._link.run())
        try:
            await self._carry_out([Keep(self._state.safety.kept), *self._owed])
            while not self._stopping:
                await self._beat_safely()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
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
        holds = self._spool.under(_HOLD)
        released, proofs = self._taken(_RELEASE), self._taken(_PROVE)
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
        )
        self._state, effects = step(self._state, inputs, moment.now)
        if polled:
            self._due_s = self._next_poll()
        await self._carry_out(effects)

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

    def _take(self, message: AtsCommand | Welcome) -> None:
        match message:
            case Welcome(token=token):
                self._token = max(self._token, token)
            case AtsCommand():
                self._commands.append(message)
            case _:
                assert_never(message)
        self._nudge.set()

    def _taken(self, prefix: str) -> dict[str, str]:
        """What a technician at the rack asked for; asked once, done once."""
        found = self._spool.under(prefix)
        for ats in found:
            self._spool.remove(prefix + ats)
        return found

    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        kept = True
        for effect in effects:
            match effect:
                case Keep():
                    kept = self._keep(effect.kept)
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

    async def _write(self, command: AtsCommand, *, kept: bool) -> Wrote:
        if not kept:
            return Wrote(command, "the command could not be kept on disk first", sent=False)
        if time.time() >= command.expires_real_s:
            return Wrote(command, "expired just before the write", sent=False)
        try:
            await self._poller.prefer(command.ats, command.to_source)
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
            self._spool.put(_TRIAL + tell.ats, tell.text)
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
        }
        full = f"spool was full: {self._spool.dropped} batches lost" if self._spool.dropped else ""
        problem = "; ".join(filter(None, (device.problem, full)))
        return replace(device, readings={**device.readings, **health}, problem=problem)


def hold(path: Path, ats: str, *, release: bool) -> None:
    """A technician's hold at the rack, or its release (which also ends a lock-out).

    Args:
        path: the rack file; its agent may be running.
        ats: device id.
        release: end the hold instead of setting it.

    Raises:
        ConfigError: the rack has no such switch.
    """
    with _at_the_rack(path, ats) as spool:
        if release:
            spool.remove(_HOLD + ats)
            spool.put(_RELEASE + ats, "released")
        else:
            spool.put(_HOLD + ats, "set at the rack")


def commission(path: Path, ats: str, witness: str, say: Callable[[str], None]) -> None:
    """Have the running agent commission a switch, and watch.

    Args:
        path: the rack file; its agent must be running.
        ats: device id.
        witness: who stands at the rack.
        say: takes a line of progress.

    Raises:
        ConfigError: the rack has no such switch.
        Refused: it was not commissioned; the text says why.
        Unreachable: the agent does not answer.
    """
    with _at_the_rack(path, ats) as spool:
        spool.remove(_TRIAL + ats)
        spool.put(_PROVE + ats, witness)
        told, patience_s = "", time.monotonic() + _PATIENCE_REAL_S
        while not told.startswith(("commissioned", "failed")):
            time.sleep(_LOOK_REAL_S)
            text = spool.get(_TRIAL + ats) or ""
            if text != told:
                told, patience_s = text, time.monotonic() + 10 * _PATIENCE_REAL_S
                say(f"{ats}: {text}")
            if time.monotonic() > patience_s:
                spool.remove(_PROVE + ats)
                raise Unreachable(f"{path}: no word of {ats}; remedy: see whether its agent runs")
    if told.startswith("failed"):
        raise Refused(f"{ats} was not commissioned: {told.partition(': ')[2]}")


@contextmanager
def _at_the_rack(path: Path, ats: str) -> Iterator[Spool]:
    """The spool of a rack file's agent, for a technician who stands before the switch."""
    rack = load_rack(path)
    if ats not in {a.id for a in rack.ats}:
        known = ", ".join(a.id for a in rack.ats) or "none"
        raise ConfigError(f"{path}: no [[ats]] '{ats}'; known: {known}")
    spool = _spool(rack, path.parent)
    try:
        yield spool
    finally:
        spool.close()


def serve(path: Path, coordinator: str = "") -> None:
    """Run the agent of a rack file until SIGTERM or SIGINT.

    Args:
        path: the rack file; relative paths in it count from its folder.
        coordinator: ``host:port``; overrides the rack file and discovery.

    Raises:
        ConfigError: rack file, profile or address wrong.
        DataError: model corrupt, spool damaged.
        Refused: another agent runs on the same state.
    """
    _share_heap()
    rack = load_rack(path)
    asyncio.run(_serve(rack, path.parent, coordinator or rack.coordinator.address))


async def _serve(rack: Rack, base: Path, coordinator: str) -> None:
    profiles = load_named((d.profile for d in rack.device), base)
    kinds = {name: p.kind for name, p in profiles.items()}
    setup = config.setup(rack, kinds, {name: repr(p.command) for name, p in profiles.items()})
    directory = Fixed(coordinator) if coordinator else _finder(rack)
    model = LiteRtModel(*config.model_files(rack.model, base))
    with _alone(base / rack.agent.state_dir):
        spool = _spool(rack, base)
        forecaster = Forecaster(model.predict, model.id)
        clock = rack.clock.clock()
        poller = Poller(rack, profiles, lambda: clock.now(time.time()))
        agent = Agent(rack, setup, poller, spool, forecaster)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        _log.info(
            "agent %s: %d devices, %d servers, model %s on %s",
            rack.agent.id,
            len(rack.device),
            len(rack.server),
            model.id,
            model.runtime,
        )
        await agent.run(directory)
        spool.close()


def _scrape_real_s(rack: Rack, clock: DataClock, real_s: float) -> float:
    """Between two readings of a server: as wanted, but at least one a step."""
    step_real_s = rack.agent.step_s / clock.speed(real_s)
    wanted = rack.agent.scrape_real_s
    return wanted if wanted <= step_real_s else step_real_s / 2


def _share_heap() -> None:
    """Let all threads use one heap (glibc only): gRPC's would each keep one of their own."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def _finder(rack: Rack) -> Directory:
    from wattcast_agent.discover.finder import Finder  # an agent with an address needs no zeroconf

    return Finder(rack.agent.cluster, rack.agent.interface)


def _spool(rack: Rack, base: Path) -> Spool:
    return Spool(base / rack.agent.state_dir / "spool.db", int(time.time() * 1000))


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Two agents on one state would break fencing: hold a lock that ends with the process."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
    except OSError as error:
        raise ConfigError(f"agent.state_dir {state_dir}: {error.strerror}; check it") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"{state_dir}: another agent runs on this state; remedy: end it,"
                " or give agent.state_dir"
            ) from error
        yield
