"""The demonstration from start to report: rooms, etcd, coordinator, agents, proxy, clients."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from wattcast_coordinator.act import choose
from wattcast_coordinator.coord.server import EtcdServer
from wattcast_core.errors import WattcastError
from wattcast_tools.demo import files, report
from wattcast_tools.demo.processes import Processes
from wattcast_tools.demo.screen import Screen, verdict

Json = dict[str, Any]
_HISTORY_REAL_S = 64.0  # 64 steps of 300 s at 300 data seconds a real second
_START_REAL_S = 16.0  # until all processes are up
_ROOM_REAL_S = 60.0
_TRUTH_REAL_S = 20.0
_ROOMS = {"live": "room", "none": "room-no-control", "guard_band": "room-guard-band"}


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    seed: int
    racks: int
    duration_min: float
    speed: float
    report: Path | None
    keep: bool
    control: bool
    proxy: str
    json: bool


async def tell(options: Options) -> int:
    """Run the whole demonstration until it ends, or Ctrl-C or SIGTERM does; exit code."""
    task = asyncio.ensure_future(_tell(options))
    # Own handlers: a shell that starts a program in the background leaves Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + signal.SIGINT


async def _tell(options: Options) -> int:
    # A short path: unix sockets of the proxy live in it.
    folder = Path(tempfile.mkdtemp(prefix="wattcast-"))
    screen = Screen()
    try:
        with Processes(folder) as processes:
            story = _Story(options, folder, processes, screen)
            await story.run()
            if options.keep:
                with contextlib.suppress(asyncio.CancelledError):
                    await story.stay()
    except WattcastError:
        screen.say(f"logs: {folder}")
        raise
    except asyncio.CancelledError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return 0


class _Story:
    """One demonstration; ``run`` goes through it once."""

    def __init__(
        self, options: Options, folder: Path, processes: Processes, screen: Screen
    ) -> None:
        self._options, self._folder = options, folder
        self._processes, self._screen = processes, screen
        self._start_real_s = time.time() + _START_REAL_S + 2.0 * (options.racks - 3)
        self._room: Json = {}
        self._bound: Json = {}
        self._etcd: EtcdServer | None = None

    async def run(self) -> None:
        """Start everything, watch the story, report."""
        self._screen.say(
            "starting three rooms, etcd, coordinator, agents and the reverse proxy ..."
        )
        try:
            self._start_rooms()
            self._etcd = await EtcdServer.start(self._folder / "etcd")
            await self._start_site()
            self._screen.say(f"page: {self._bound['dashboard']}")
            before, state = await self._watch()
            self._finish(before, state)
        finally:
            if self._etcd is not None and not self._options.keep:
                await self._etcd.stop()

    async def stay(self) -> None:
        """Serve until Ctrl-C; what is killed from outside is started again."""
        self._screen.say(f"staying up: {self._bound['dashboard']}  files: {self._folder}")
        self._screen.say("Ctrl-C ends everything")
        try:
            while True:
                self._processes.revive()
                await asyncio.sleep(0.3)
        finally:
            if self._etcd is not None:
                await self._etcd.stop()

    def _start_rooms(self) -> None:
        o = self._options
        for control, name in _ROOMS.items():
            (self._folder / name).mkdir()
            words = ["--seed", o.seed, "--racks", o.racks, "--speed", o.speed]
            words += ["--duration", o.duration_min, "--start-real", self._start_real_s]
            words += ["--dir", self._folder / name, "--control", control]
            self._processes.python(name, "wattcast_tools.room", *map(str, words))
        self._processes.wait_file(self._folder / "room" / "room.json", _ROOM_REAL_S)
        self._room = json.loads((self._folder / "room" / "room.json").read_text())

    async def _start_site(self) -> None:
        listeners = {w["id"]: ("127.0.0.1", _free_port()) for w in _real(self._room)}
        kind, proxy = choose.choose(self._options.proxy), self._folder / "proxy"
        serving = {w["id"]: w["url"].removeprefix("http://") for w in _real(self._room)}
        choose.write_bootstrap(kind, proxy, listeners, serving)
        self._processes.start("proxy", choose.command(kind, proxy))
        urls = {name: f"http://{host}:{port}" for name, (host, port) in listeners.items()}
        etcd = self._etcd.endpoint if self._etcd else ""
        # Ports chosen here, not by the coordinator: one that is started again keeps its addresses.
        site = files.Around(urls, kind, etcd, (_free_port(), _free_port()), self._options.control)
        files.write(self._folder, self._room, site)
        self._start_wattcast()
        ready = self._folder / "ready.json"
        self._processes.wait_file(ready, _ROOM_REAL_S)
        self._bound = json.loads(ready.read_text())
        (self._folder / "targets.json").write_text(json.dumps(urls))
        words = ["--targets", self._folder / "targets.json", "--report", self._clients_file()]
        self._processes.python("clients", "wattcast_tools.room.clients", *map(str, words))

    def _start_wattcast(self) -> None:
        wattcast, folder = "wattcast_tools.main", self._folder
        words = ("coordinator", f"{folder}/coordinator.toml", "--ready", f"{folder}/ready.json")
        self._processes.python("coordinator", wattcast, *words, revive=True)
        for rack in self._room["racks"]:
            file = f"{folder}/rack-{rack}.toml"
            self._processes.python(f"agent-{rack}", wattcast, "agent", file, revive=True)

    async def _watch(self) -> tuple[Json, Json]:
        """Follow the story to its end; the states after the history and at the end."""
        before: Json = {}
        state: Json = {}
        end_real_s = self._start_real_s + _HISTORY_REAL_S
        end_real_s += self._options.duration_min * 60.0 / self._options.speed
        async with httpx.AsyncClient(timeout=5.0) as client:
            with self._screen:
                while time.time() < end_real_s:
                    self._processes.revive()
                    self._processes.check()
                    state = await self._state(client) or state
                    minute = self._minute()
                    if minute >= 0 and not before:
                        before = state
                    if state:
                        self._screen.show(state, minute, self._clients())
                    await asyncio.sleep(0.5)
            return before.get("store", {}), await self._state(client) or state

    async def _state(self, client: httpx.AsyncClient) -> Json | None:
        try:
            answer = await client.get(f"{self._bound['rest']}/state")
            return dict(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError):
            return None  # the coordinator is being restarted

    def _finish(self, before: Json, state: Json) -> None:
        """End the clients (they read everything back), and write the report."""
        self._processes.stop("clients", patience_s=30.0)
        truths = {control: self._truth(name) for control, name in _ROOMS.items()}
        figures = report.collect(self._room, state, before, truths, self._clients(), self._bound)
        if self._options.report is not None:
            self._options.report.write_text(json.dumps(figures, indent=2) + "\n")
        if self._options.json:
            json.dump(figures, sys.stdout, indent=2)
            print()
        self._screen.say_table(verdict(figures))
        self._screen.say(report.sentence(figures))

    def _truth(self, name: str) -> Json:
        path = self._folder / name / "truth.json"
        self._processes.wait_file(path, _TRUTH_REAL_S)
        return dict(json.loads(path.read_text()))

    def _minute(self) -> float:
        story_real_s = time.time() - self._start_real_s - _HISTORY_REAL_S
        return story_real_s * self._options.speed / 60.0

    def _clients_file(self) -> Path:
        return self._folder / "clients.json"

    def _clients(self) -> Json:
        return _read(self._clients_file())


def _real(room: Json) -> list[Json]:
    """Workloads that are real processes."""
    return [w for w in room["workloads"] if w["url"]]


def _read(path: Path) -> Json:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
