"""Reads everything in the rack beat by beat. A failing device never delays the others."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psutil

from wattcast_agent.devices import compose
from wattcast_agent.devices.compose import Answer, Parts
from wattcast_agent.devices.connect import Connections, Unit
from wattcast_agent.devices.freeze import Freeze
from wattcast_agent.devices.host import read_host
from wattcast_agent.devices.lateness import Lateness
from wattcast_agent.devices.node_exporter import NodeExporter, new_pool
from wattcast_agent.devices.worker import Member, Told, Worker
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device, Rack
from wattcast_core.devices import DeviceState
from wattcast_core.errors import ConfigError, Refused
from wattcast_core.samples import Sample

_STALE_REAL_S = 5.0  # a device not read for longer is told as missing; or three of its own periods
_STALE_PERIODS = 3


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
    """

    def __init__(
        self,
        rack: Rack,
        profiles: Mapping[str, Profile],
        now: Callable[[], datetime],
        *,
        budget_real_s: float = 1.5,
        patience_real_s: float = 0.5,
        scrape_real_s: float = 10.0,
    ) -> None:
        """Wire all devices.

        Args:
            rack: the rack file.
            profiles: device profiles by name.
            now: the data clock.
            budget_real_s: what one device may take to read.
            patience_real_s: how long a beat waits at most.
            scrape_real_s: between two readings of a server's own metrics.

        Raises:
            ConfigError: a profile, an address or a login is wrong.
        """
        self._now, self._budget_real_s, self._patience_real_s = now, budget_real_s, patience_real_s
        self._scrape_real_s = scrape_real_s
        self._connections = Connections()
        self._units = {d.id: self._unit(d, profiles) for d in rack.device}
        self._http = new_pool()
        exporters = [
            NodeExporter(s.id, s.node_exporter, self._http) for s in rack.server if s.node_exporter
        ]
        self._hosts: list[Member] = [*map(ServerMember, exporters), OwnHost(rack.agent.id)]
        self._full = {e.server for e in exporters}
        self._freeze = Freeze()
        self._states: dict[str, DeviceState] = {}
        self._read_s: dict[str, float] = {}
        self._team: list[Worker] = []
        self._workers: dict[str, Worker] = {}
        self._lateness = Lateness()

    async def poll(self, due_s: float | None = None) -> Poll:
        """One beat.

        Args:
            due_s: monotonic time (of the event loop) at which it should have begun; None = now.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if not self._team:
            self._hire(began_s)
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
            "resyncs_total": float(self._connections.resyncs),
            "lateness_p50_ms": p50_ms,
            "lateness_p99_ms": p99_ms,
        }

    async def close(self) -> None:
        """Close all connections."""
        for worker in self._team:
            await worker.close()
        await self._connections.close()
        await self._http.aclose()

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
            line = lines.setdefault(unit.device.where.line, [])
            line.append(DeviceMember(unit, self._budget_real_s))
        for members in lines.values():
            self._employ(members)
        for turn, host in enumerate(self._hosts):
            offset_s = turn * self._scrape_real_s / len(self._hosts)
            self._employ([host], every_real_s=self._scrape_real_s, offset_real_s=offset_s)
        self._read_s = dict.fromkeys(self._workers, at_s)

    def _employ(self, members: Sequence[Member], **when: float) -> None:
        patience_real_s = self._patience_real_s
        worker = Worker(members, self._now, self._note, patience_real_s=patience_real_s, **when)
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
            return compose.host(name, answer, at, full=name in self._full)
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
    """A device as a worker reads it; one that has to wake up first may take that much longer."""

    def __init__(self, unit: Unit, budget_real_s: float) -> None:
        self.name = unit.device.id
        self.budget_real_s = budget_real_s + 2 * unit.profile.transport.wake_real_s
        self._unit = unit

    async def read(self) -> Answer:
        """Registers or objects, and what was wrong without failing."""
        words = await self._unit.read()
        return Answer(words, problem=self._unit.notes)

    def rest(self) -> None:
        """The sweep of its connection is over."""
        self._unit.rest()


class ServerMember:
    """A server's metrics endpoint as a worker reads it."""

    budget_real_s = 1.5  # the exporter's own time-out comes first

    def __init__(self, exporter: NodeExporter) -> None:
        self.name = exporter.server
        self._exporter = exporter

    async def read(self) -> Answer:
        """Canonical quantities."""
        return Answer(values=await self._exporter.read())

    def rest(self) -> None:
        """Nothing to give back: the client keeps its connection alive."""


class OwnHost:
    """The agent's own machine."""

    budget_real_s = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    async def read(self) -> Answer:
        """Canonical quantities."""
        try:
            return Answer(values=read_host())
        except (psutil.Error, OSError) as error:
            return Answer(problem=f"this machine's metrics: {error}")

    def rest(self) -> None:
        """Nothing to give back."""
