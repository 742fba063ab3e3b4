"""The room as a live process: the world on the data clock, its devices, hosts and workloads."""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattcast_tools.room.describe import clock, describe
from wattcast_tools.room.devices import Devices
from wattcast_tools.room.engine import Engine
from wattcast_tools.room.exporter import Exporters
from wattcast_tools.room.files import write_json
from wattcast_tools.room.guard_band import GuardBand
from wattcast_tools.room.metering import SLOT_S
from wattcast_tools.room.scenario import HISTORY_S, HISTORY_SPEED, Scenario
from wattcast_tools.room.story import Story, apply_rule

REFRESH_REAL_S = 0.2


@dataclass(frozen=True)
class Options:
    """How the room is run.

    Attributes:
        start_real_s: epoch seconds at which the history begins.
        speed: data seconds a real second in the story; the history has its own.
        control: ``live`` (from outside), ``none`` or ``guard_band`` (no workload processes then).
        ats_fault: ``""``, ``returns`` or ``stuck``.
    """

    folder: Path
    start_real_s: float
    speed: float = 75.0
    history_speed: float = HISTORY_SPEED
    control: str = "live"
    ats_fault: str = ""


class Room:
    """Everything, started and stopped together."""

    def __init__(self, scenario: Scenario, options: Options) -> None:
        self._options, self._scenario = options, scenario
        self._story = Story(scenario)
        world = self._story.world
        world.switch_fault = options.ats_fault
        self._devices = Devices(world, self._story.meters, self._speed)
        self._exporters = Exporters(world)
        live = options.control == "live"
        self._engine = Engine(world, options.folder / "state") if live else None
        guarded = options.control == "guard_band"
        self._rule = GuardBand(scenario.layout) if guarded else None
        self._looked = 0
        self._told = False

    async def run(self) -> None:
        """Run until SIGTERM or Ctrl-C; room.json appears when all is up."""
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        try:
            await self._start()
            while not stop.is_set():
                await self._refresh()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_REAL_S)
        finally:
            self._tell()
            await self._close()

    async def _start(self) -> None:
        self._options.folder.mkdir(parents=True, exist_ok=True)
        await self._devices.start()
        exporters = await self._exporters.start()
        if self._engine:
            await self._engine.start()
        options, scenario = self._options, self._scenario
        about: dict[str, Any] = {
            "seed": scenario.seed,
            "clock": clock(
                options.start_real_s,
                HISTORY_S,
                options.history_speed,
                scenario.start,
                options.speed,
            ),
            "story": {
                "start": scenario.start.isoformat(),
                "duration_s": scenario.duration_s,
            },
        }
        about |= describe(scenario.layout, self._devices, exporters, self._engine)
        write_json(options.folder / "room.json", about)

    async def _close(self) -> None:
        if self._engine:
            await self._engine.close()
        await self._exporters.close()
        await self._devices.close()

    async def _refresh(self) -> None:
        self._story.advance(self._now_s())
        if self._engine:
            self._engine.darken()
        await self._exporters.update()
        self._look()
        if self._story.over and not self._told:
            self._tell()
            self._told = True

    def _look(self) -> None:
        """Give the guard band a look as often as a rule on polled readings has one."""
        slot = int(self._story.now_s // SLOT_S)
        if self._rule is not None and self._story.now_s >= 0 and slot != self._looked:
            self._looked = slot
            apply_rule(self._rule, self._story)

    def _tell(self) -> None:
        write_json(self._options.folder / "truth.json", self._story.truth())

    def _now_s(self) -> float:
        """Data seconds after the story's start."""
        passed_s = max(0.0, time.time() - self._options.start_real_s)
        history_s = -HISTORY_S + passed_s * self._options.history_speed
        if history_s < 0:
            return history_s
        return history_s / self._options.history_speed * self._options.speed

    def _speed(self) -> float:
        early = self._story.now_s < 0
        return self._options.history_speed if early else self._options.speed
