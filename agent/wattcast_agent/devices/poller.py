"""Reads everything in the rack beat by beat. A failing device never delays the others."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import psutil

from wattcast_agent.devices import compose
from wattcast_agent.devices.compose import Answer, Parts
from wattcast_agent.devices.connect import Connections, Unit
from wattcast_agent.devices.freeze import Freeze
from wattcast_agent.devices.host import HostReader
from wattcast_agent.devices.lateness import Lateness
from wattcast_agent.devices.node_exporter import NodeExporter
from wattcast_agent.devices.user_load import UserLoadReader
from wattcast_agent.devices.worker import Member, Told, Worker
from wattcast_configs.profile import Profile
from wattcast_configs.rack import OWN_MACHINE, Device, Host, Rack
from wattcast_core.devices import DeviceState
from wattcast_core.errors import ConfigError, Refused, WattcastError
from wattcast_core.samples import Sample

_STALE_REAL_S = 5.0  # a device not read for longer is told as missing; or three of its own periods
_STALE_PERIODS = 3
_INTRODUCE_SHARE = 0.3  # of a device's budget


@dataclass(frozen=True)
class Poll:
    """What one beat found.

    Attributes:
        samples: of what was read since the last beat; an explicit gap for what failed.
        devices: newest state of each device and server.
    """

    samples: tuple[Sample, ...]
    devices: tuple[DeviceState, ...]


class Poller:
    """Reads all devices and servers of a rack file: a worker a connection, each with its budget.

    A beat starts the workers that are idle and waits for those that were prompt last time. What
    takes longer goes on beside, and its answers count in the beat in which they come.

    Attributes:
        identities: transfer switch -> what it said of itself since it last began to answer.
    """

    def __init__(
        self,
        rack: Rack,
        profiles: Mapping[str, Profile],
        now: Callable[[], datetime],
        *,
        budget_real_s: float = 1.5,
        patience_real_s: float = 0.5,
    ) -> None:
        """Wire all devices.

        Args:
            rack: the rack file.
            profiles: device profiles by name.
            now: the data clock.
            budget_real_s: what one device may take to read.
            patience_real_s: how long a beat waits at most.

        Raises:
            ConfigError: a profile, an address or a login is wrong.
        """
        self._now, self._budget_real_s, self._patience_real_s = now, budget_real_s, patience_real_s
        self._connections = Connections()
        self._units = {d.id: self._unit(d, profiles) for d in rack.device}
        servers = [s for s in rack.server if s.node_exporter or s.user_load.url]
        self._hosts: list[ServerMember | OwnHost] = [*map(ServerMember, servers)]
        self._hosts.append(OwnHost(rack.agent.id))
        self._switches = {ats.id for ats in rack.ats}
        self._freeze = Freeze()
        self._states: dict[str, DeviceState] = {}
        self._read_s: dict[str, float] = {}
        self._team: list[Worker] = []
        self._workers: dict[str, Worker] = {}
        self.identities: dict[str, str] = {}
        self._lateness = Lateness()
        self._values = 0

    async def poll(self, due_s: float | None = None, scrape_real_s: float = 0.0) -> Poll:
        """One beat.

        Args:
            due_s: monotonic time (of the event loop) at which it should have begun; None = now.
            scrape_real_s: between two readings of a server's own metrics; 0 = at every beat.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if not self._team:
            self._hire(began_s)
        self._pace(scrape_real_s)
        awaited = []
        for worker in self._team:
            prompt, sweep = worker.prompt, worker.begin(began_s if due_s is None else due_s)
            if prompt and sweep is not None:
                awaited.append(sweep)
        if awaited:
            await asyncio.wait(awaited, timeout=self._patience_real_s)
        await asyncio.sleep(0)  # the others get their turn, however fast beats follow each other
        return self._compose(loop.time())

    async def prefer(self, ats: str, source: str) -> None:
        """Write the profile's ``prefer_source`` command; the caller verifies the active source.

        Raises:
            Refused: nothing was written; the text says why.
            Unreachable: no answer; whether it was written is unknown.
        """
        unit = self._units.get(ats)
        if unit is None:
            raise Refused(f"'{ats}' is no device of this rack; known: {', '.join(self._units)}")
        await unit.command("prefer_source", source)

    def health(self) -> dict[str, float]:
        """How reading goes: counters since the start, and lateness of the last readings."""
        p50_ms, p99_ms = self._lateness.percentiles_ms()
        return {
            "reads_total": float(self._lateness.count),
            "values_total": float(self._values),
            "resyncs_total": float(self._connections.resyncs),
            "lateness_p50_ms": p50_ms,
            "lateness_p99_ms": p99_ms,
        }

    @property
    def busy(self) -> bool:
        """Whether a device is being read."""
        return any(worker.busy for worker in self._team)

    async def rest(self) -> None:
        """Read nothing until the next beat, and let go of connections others may need."""
        for worker in self._team:
            await worker.close()
        self._connections.rest()
        self._team, self._workers, self._states = [], {}, {}

    async def close(self) -> None:
        """Close all connections."""
        for worker in self._team:
            await worker.close()
        await self._connections.close()
        for host in self._hosts:
            host.close()
        await asyncio.sleep(0)  # lets the transports finish closing

    def _unit(self, device: Device, profiles: Mapping[str, Profile]) -> Unit:
        profile = profiles.get(device.profile)
        if profile is None:
            known = ", ".join(sorted(profiles))
            raise ConfigError(
                f"device {device.id}: profile '{device.profile}' is unknown; known: {known}"
            )
        return self._connections.unit(device, profile)

    def _hire(self, at_s: float) -> None:
        """A worker a connection, and one a server; servers take turns within their period."""
        lines: dict[str, list[DeviceMember]] = {}
        for unit in self._units.values():
            identities = self.identities if unit.device.id in self._switches else None
            member = DeviceMember(unit, self._budget_real_s, identities)
            lines.setdefault(unit.device.where.line, []).append(member)
        for line in lines.values():
            self._employ(line)
        for turn, host in enumerate(self._hosts, 1):
            self._employ([host], turn / len(self._hosts))
        self._read_s = dict.fromkeys(self._workers, at_s)

    def _pace(self, scrape_real_s: float) -> None:
        for host in self._hosts:
            self._workers[host.name].every_real_s = scrape_real_s

    def _employ(self, members: Sequence[Member], turn: float = 0.0) -> None:
        worker = Worker(members, self._now, self._note, self._patience_real_s, turn)
        self._team.append(worker)
        self._workers |= dict.fromkeys((m.name for m in members), worker)

    def _note(self, due_s: float) -> None:
        self._lateness.note(asyncio.get_running_loop().time() - due_s)

    def _compose(self, at_s: float) -> Poll:
        fresh: dict[str, Told] = {}
        for worker in self._team:
            fresh |= worker.fresh
            worker.fresh = {}
        stuck = self._stuck(fresh)
        samples: list[Sample] = []
        for name in self._workers:
            for parts in self._parts(name, fresh.get(name), at_s, stuck=name in stuck):
                samples += parts[0]
                self._states[name] = parts[1]
        self._values += sum(sample.usable for sample in samples)
        return Poll(tuple(samples), tuple(self._states.values()))

    def _parts(self, name: str, told: Told | None, at_s: float, *, stuck: bool) -> Iterator[Parts]:
        """What is new of a device: its answer, or the gap since it gave none for too long."""
        if told is not None:
            self._read_s[name] = told.at_s
            yield self._judge(name, told.answer, told.at, stuck=stuck)
            return
        silent_s = at_s - self._read_s[name]
        limit_s = max(_STALE_REAL_S, _STALE_PERIODS * self._workers[name].every_real_s)
        if silent_s > limit_s:
            gap = Answer(problem=f"not read for {silent_s:.0f} s; its connection is overloaded")
            yield self._judge(name, gap, self._now(), stuck=False)
        elif name not in self._states:
            yield self._judge(name, Answer(problem="not read yet"), self._now(), stuck=False)

    def _judge(self, name: str, answer: Answer, at: datetime, *, stuck: bool) -> Parts:
        unit = self._units.get(name)
        if unit is None:
            return compose.host(name, answer, at)
        idle = not unit.device.role
        return compose.device(name, unit.profile, answer, at, stuck=stuck, idle=idle)

    def _stuck(self, fresh: Mapping[str, Told]) -> set[str]:
        answered = [
            unit for name, unit in self._units.items() if name in fresh and fresh[name].answer.words
        ]
        siblings: dict[str, list[str]] = {}
        for unit in answered:
            siblings.setdefault(unit.profile.name, []).append(unit.device.id)
            self._freeze.observe(unit.device.id, fresh[unit.device.id].answer.words)
        return {
            unit.device.id
            for unit in answered
            if self._freeze.stuck(
                unit.device.id, unit.profile.freeze_after, siblings[unit.profile.name]
            )
        }


class DeviceMember:
    """A device as a worker reads it; one that has to wake up first may take that much longer.

    A transfer switch that may be commanded is asked what it is, anew whenever it was silent: it may
    be another by then.
    """

    def __init__(
        self, unit: Unit, budget_real_s: float, identities: dict[str, str] | None = None
    ) -> None:
        self.name = unit.device.id
        self.budget_real_s = budget_real_s + 2 * unit.profile.transport.wake_real_s
        self._unit, self._identities = unit, identities

    async def read(self) -> Answer:
        """Registers or objects, and what was wrong without failing."""
        try:
            words = await self._unit.read()
        except BaseException:
            if self._identities is not None:
                self._identities.pop(self.name, None)
            raise
        if self._identities is not None and self.name not in self._identities:
            await self._introduce(self._identities)
        return Answer(words, problem=self._unit.notes)

    def rest(self) -> None:
        """The sweep of its connection is over."""
        self._unit.rest()

    async def _introduce(self, identities: dict[str, str]) -> None:
        """A reading is not lost because this takes too long; it is asked again at the next one."""
        with suppress(TimeoutError, WattcastError):
            async with asyncio.timeout(_INTRODUCE_SHARE * self.budget_real_s):
                identities[self.name] = await self._unit.introduce()


class ServerMember:
    """A server as a worker reads it: its own metrics, and what its users ask of it."""

    budget_real_s = 3.0  # the time-outs of both come first

    def __init__(self, server: Host) -> None:
        self.name = server.id
        own = server.node_exporter == OWN_MACHINE
        self._own = OwnHost(server.id) if own else None
        address = server.node_exporter
        self._exporter = NodeExporter(server.id, address) if address and not own else None
        load = server.user_load
        self._load = UserLoadReader(server.id, load) if load.url else None

    async def read(self) -> Answer:
        """Canonical quantities; what users ask is left out, and told, if it cannot be read."""
        values: dict[str, float] = {}
        problem = ""
        if self._own is not None:
            values |= (await self._own.read()).values
        if self._exporter is not None:
            values |= await self._exporter.read()
        if self._load is not None:
            try:
                values |= await self._load.read()
            except WattcastError as error:
                problem = str(error)
        return Answer(values=values, problem=problem)

    def rest(self) -> None:
        """Nothing to give back: connections are kept alive."""

    def close(self) -> None:
        """Close all connections."""
        for part in (self._own, self._exporter, self._load):
            if part is not None:
                part.close()


class OwnHost:
    """The agent's own machine."""

    budget_real_s = 1.0

    def __init__(self, name: str) -> None:
        self.name = name
        self._reader = HostReader()

    async def read(self) -> Answer:
        """Canonical quantities."""
        try:
            return Answer(values=self._reader.read())
        except (psutil.Error, OSError) as error:
            return Answer(problem=f"this machine's metrics: {error}")

    def rest(self) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Close its counters."""
        self._reader.close()
