"""The workload engine: starts, copies and stops instances, one process each, one folder each.

``{base}/servers/{server}/workloads`` lists instances; below it ``/{name}/start``, ``/{name}/stop``,
``/{name}/pull`` (POST), ``/{name}`` (DELETE) and ``/{name}/files[/{path}]`` (GET). Every order may
be repeated. Power is drawn wherever an instance runs.
"""

import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, BinaryIO

import httpx

import wattcast_tools
from wattcast_tools.room.httpd import HOST, HttpServer, Request, Response, answer
from wattcast_tools.room.journal import NAME
from wattcast_tools.room.model import World

_START_S = 20.0
_STOP_S = 5.0
_PULL_S = 30.0
_CHUNK = 1 << 20
_ROOT = str(Path(wattcast_tools.__path__[0]).parent)


class Instance:
    """One workload on one server: a folder and, while it runs, a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> str:
        """Start the process unless it runs; its URL.

        Raises:
            OSError: it did not come up.
        """
        if self.running:
            return self.url
        self.folder.mkdir(parents=True, exist_ok=True)
        # -S: no site-packages are needed, which halves the time to start.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-m", "wattcast_tools.room.workload", str(self.folder),
            "--parent", str(os.getpid()),
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": _ROOT},
        )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe, tell the type checker
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
        if not line.startswith(b"port "):
            await self.stop()
            raise OSError(f"the instance in {self.folder} did not start; see its error output")
        self.url = f"http://{HOST}:{int(line.split()[1])}"
        return self.url

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not help."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """What a lost power supply does."""
        if self.running and self._process is not None:
            self._process.kill()


class Engine:
    """The engine of all servers of the room."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        self._names = {w.id for w in world.layout.workloads if w.movable}
        self._instances: dict[tuple[str, str], Instance] = {}
        self._http = HttpServer(self._handle)
        self._client = httpx.AsyncClient(timeout=_PULL_S, trust_env=False)

    async def start(self) -> None:
        """Listen, and start every movable workload where it belongs, a few at a time."""
        await self._http.start()
        pause = asyncio.Semaphore(2)

        async def one(name: str, server: str) -> None:
            async with pause:
                await self._start(server, name)

        movable = [w for w in self._world.layout.workloads if w.movable]
        await asyncio.gather(*(one(w.id, w.server) for w in movable))

    async def close(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(i.stop() for i in self._instances.values()))
        await self._client.aclose()
        await self._http.close()

    def url(self, server: str) -> str:
        """The engine's base URL of a server."""
        return f"http://{HOST}:{self._http.port}/servers/{server}"

    def instance_url(self, server: str, name: str) -> str:
        """Where an instance listens."""
        return self._instance(server, name).url

    def darken(self) -> None:
        """Kill what runs on dark servers, and let the world know of what died by itself."""
        for (server, name), instance in self._instances.items():
            place = self._world.server_index[server]
            if instance.running and not self._world.powered[place]:
                instance.kill()
            index = self._world.workload_index[name]
            if not instance.running and self._world.runs[index, place]:
                self._world.stop(name, server)

    def _instance(self, server: str, name: str) -> Instance:
        """An instance (KeyError if server or workload is not known)."""
        hosts = self._world.layout.servers[self._world.server_index[server]].hosts
        if name not in self._names or not hosts:
            raise KeyError(f"{name} on {server}")
        key = (server, name)
        if key not in self._instances:
            self._instances[key] = Instance(self._folder / server / name)
        return self._instances[key]

    async def _handle(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        if len(parts) < 3 or parts[0] != "servers" or parts[2] != "workloads":
            return answer({"error": "know /servers/{server}/workloads"}, 404)
        server = parts[1]
        if not self._world.powered[self._world.server_index[server]]:
            return answer({"error": f"{server} has no power"}, 503)
        if len(parts) == 3:
            return answer({"workloads": self._list(server)})
        return await self._order(request, server, parts[3], parts[4:])

    def _list(self, server: str) -> list[dict[str, str]]:
        return [
            {"name": name, "state": "running" if i.running else "stopped", "url": i.url}
            for (at, name), i in self._instances.items()
            if at == server and i.folder.exists()
        ]

    async def _order(self, request: Request, server: str, name: str, rest: list[str]) -> Response:
        instance = self._instance(server, name)
        match (request.method, rest):
            case ("GET", ["files"]):
                response = answer({"files": _files(instance.folder)})
            case ("GET", ["files", path]):
                response = _part(instance.folder, path, int(request.query.get("offset", "0")))
            case ("POST", ["start"]):
                response = answer({"url": await self._start(server, name)})
            case ("POST", ["stop"]):
                await self._stop(server, name)
                response = answer({"state": "stopped"})
            case ("POST", ["pull"]):
                async with instance.lock:
                    moved = await self._pull(instance, name, str(request.json()["from"]))
                response = answer(moved)
            case ("DELETE", []):
                response = self._remove(instance)
            case _:
                response = answer({"error": f"no such order: {request.method} {request.path}"}, 404)
        return response

    async def _start(self, server: str, name: str) -> str:
        instance = self._instance(server, name)
        async with instance.lock:
            url = await instance.start()
            self._world.start(name, server)
        return url

    async def _stop(self, server: str, name: str) -> None:
        instance = self._instance(server, name)
        async with instance.lock:
            await instance.stop()
            self._world.stop(name, server)

    @staticmethod
    def _remove(instance: Instance) -> Response:
        if instance.running:
            return answer({"error": "stop it first"}, 409)
        shutil.rmtree(instance.folder, ignore_errors=True)
        return answer({"state": "removed"})

    async def _pull(self, instance: Instance, name: str, source: str) -> dict[str, int]:
        """Bring the files up to the source's; only new bytes travel."""
        base = f"{source.rstrip('/')}/workloads/{name}/files"
        listed = await self._get(base)
        moved = 0
        for entry in listed.json()["files"]:
            moved += await self._pull_file(instance.folder, base, entry)
        return {"files": len(listed.json()["files"]), "bytes": moved}

    async def _pull_file(self, folder: Path, base: str, entry: dict[str, Any]) -> int:
        path, size, moved = _inside(folder, str(entry["path"])), int(entry["size"]), 0
        with _appendable(path) as file:
            if file.tell() > size:  # not a beginning of the source's journal: start over
                file.truncate(0)
                file.seek(0, os.SEEK_END)
            while (at := file.tell()) < size:
                part = (await self._get(f"{base}/{path.name}?offset={at}")).content
                if not part:
                    raise OSError(f"{base}/{path.name} ended at {at} of {size} bytes")
                moved += file.write(part)
        return moved

    async def _get(self, url: str) -> httpx.Response:
        try:
            return (await self._client.get(url)).raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(f"cannot read {url}: {error}") from error


def _files(folder: Path) -> list[dict[str, Any]]:
    path = folder / NAME
    return [{"path": NAME, "size": path.stat().st_size}] if path.exists() else []


def _part(folder: Path, name: str, offset: int) -> Response:
    with _inside(folder, name).open("rb") as file:
        file.seek(offset)
        return Response(body=file.read(_CHUNK))


def _appendable(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _inside(folder: Path, name: str) -> Path:
    """A file of the instance (KeyError for any other)."""
    if name != NAME:
        raise KeyError(name)
    return folder / NAME
