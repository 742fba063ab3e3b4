"""One poll of everything in the rack. A failing device never stops the others."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime

import psutil

from wattcast_agent.devices import compose
from wattcast_agent.devices.compose import Answer
from wattcast_agent.devices.connect import Connections, Unit
from wattcast_agent.devices.freeze import Freeze
from wattcast_agent.devices.host import read_host
from wattcast_agent.devices.node_exporter import NodeExporter, new_client
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device, Rack
from wattcast_core.devices import DeviceState
from wattcast_core.errors import ConfigError, DataError, Refused, WattcastError
from wattcast_core.samples import Sample

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Poll:
    """What one poll found; every configured quantity has a sample, if only a missing one."""

    samples: tuple[Sample, ...]
    devices: tuple[DeviceState, ...]


class Poller:
    """Reads all devices and servers of a rack file, gateways side by side.

    Attributes:
        budget_real_s: a device that is not read by then counts as missing in this poll.
    """

    def __init__(
        self, rack: Rack, profiles: Mapping[str, Profile], *, budget_real_s: float = 1.5
    ) -> None:
        self._budget_real_s = budget_real_s
        self._agent = rack.agent.id
        self._sweeps: dict[str, list[Unit]] = {}
        self._connections = Connections()
        self._units = {d.id: self._add(d, profiles) for d in rack.device}
        self._http = new_client()
        self._exporters = [
            NodeExporter(s.id, s.node_exporter, self._http) for s in rack.server if s.node_exporter
        ]
        self._freeze = Freeze()

    async def poll(self, now: datetime) -> Poll:
        """Read everything once; ``now`` is the data time of the samples."""
        answers: dict[str, Answer] = {}
        hosts: dict[str, Answer] = {}
        jobs: list[Coroutine[None, None, None]] = [
            self._sweep(units, answers) for units in self._sweeps.values()
        ]
        jobs += [self._scrape(exporter, hosts) for exporter in self._exporters]
        await self._within_budget(jobs)
        hosts[self._agent] = _own_host()
        return self._compose(answers, hosts, now)

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

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()
        await self._http.aclose()

    def _add(self, device: Device, profiles: Mapping[str, Profile]) -> Unit:
        profile = profiles.get(device.profile)
        if profile is None:
            known = ", ".join(sorted(profiles))
            raise ConfigError(
                f"device {device.id}: profile '{device.profile}' is unknown; known: {known}"
            )
        unit = self._connections.unit(device, profile)
        self._sweeps.setdefault(device.where.line, []).append(unit)
        return unit

    async def _sweep(self, units: list[Unit], answers: dict[str, Answer]) -> None:
        for unit in tuple(units):
            units.append(units.pop(0))  # who was not reached in time comes first next time
            try:
                words = await unit.read()
                answers[unit.device.id] = Answer(words, problem=unit.notes)
            except Exception as error:  # noqa: BLE001 - whatever one device does, the others go on
                answers[unit.device.id] = Answer(problem=_problem(error))

    async def _scrape(self, exporter: NodeExporter, answers: dict[str, Answer]) -> None:
        try:
            answers[exporter.server] = Answer(values=await exporter.read())
        except Exception as error:  # noqa: BLE001 - whatever one server does, the others go on
            answers[exporter.server] = Answer(
                problem=_problem(error), garbled=isinstance(error, DataError)
            )

    async def _within_budget(self, jobs: list[Coroutine[None, None, None]]) -> None:
        if not jobs:
            return
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.wait(tasks, timeout=self._budget_real_s)
        finally:
            late = [task for task in tasks if task.cancel()]
            await asyncio.gather(*late, return_exceptions=True)

    def _compose(
        self, answers: Mapping[str, Answer], hosts: Mapping[str, Answer], now: datetime
    ) -> Poll:
        late = Answer(problem=f"no answer within the poll's {self._budget_real_s} s")
        samples: list[Sample] = []
        devices: list[DeviceState] = []
        stuck = self._stuck(answers)
        for name, unit in self._units.items():
            answer = answers.get(name, late)
            idle = not unit.device.role
            parts = compose.device(name, unit.profile, answer, now, stuck=name in stuck, idle=idle)
            samples += parts[0]
            devices.append(parts[1])
        servers = [exporter.server for exporter in self._exporters]
        for host in (*servers, self._agent):
            parts = compose.host(host, hosts.get(host, late), now, full=host != self._agent)
            samples += parts[0]
            devices.append(parts[1])
        return Poll(tuple(samples), tuple(devices))

    def _stuck(self, answers: Mapping[str, Answer]) -> set[str]:
        answered = [u for name, u in self._units.items() if name in answers and answers[name].words]
        siblings: dict[str, list[str]] = {}
        for unit in answered:
            siblings.setdefault(unit.profile.name, []).append(unit.device.id)
            self._freeze.observe(unit.device.id, answers[unit.device.id].words)
        return {
            unit.device.id
            for unit in answered
            if self._freeze.stuck(
                unit.device.id, unit.profile.freeze_after, siblings[unit.profile.name]
            )
        }


def _own_host() -> Answer:
    try:
        return Answer(values=read_host())
    except (psutil.Error, OSError) as error:
        return Answer(problem=f"this machine's metrics: {error}")


def _problem(error: Exception) -> str:
    if not isinstance(error, WattcastError):
        _log.error("unexpected while reading a device", exc_info=error)
    return str(error) or type(error).__name__
