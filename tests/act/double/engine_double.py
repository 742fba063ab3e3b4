"""Engines of several servers, running real workload processes: base URL ``http://host:port/<server>``.

Arguments: port, folder.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from http_double import as_json, serve


class Engines:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: dict[tuple[str, str], tuple[subprocess.Popen, str]] = {}

    async def handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        server, _, name, verb = [*path.split("/")[1:], "", ""][:4]
        folder = self.root / server / name
        if method == "DELETE":
            shutil.rmtree(folder, ignore_errors=True)
        elif verb == "start":
            return 200, as_json({"url": await self.start(server, name, folder)})
        elif verb == "stop":
            await self.stop(server, name)
        elif verb == "pull":
            source = self.root / json.loads(body)["from"].rsplit("/", 1)[1] / name / "journal"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / "journal")
            return 200, as_json({"files": 1, "bytes": source.stat().st_size})
        elif method == "GET":
            return 200, as_json({"workloads": self.listing(server)})
        return 200, b"{}"

    def listing(self, server: str) -> list[dict[str, str]]:
        found = {}
        for folder in (self.root / server).glob("*"):
            found[folder.name] = {"name": folder.name, "state": "stopped", "url": ""}
        for (place, name), (child, url) in self.running.items():
            if place == server and child.poll() is None:
                found[name] = {"name": name, "state": "running", "url": url}
        return list(found.values())

    async def start(self, server: str, name: str, folder: Path) -> str:
        child, url = self.running.get((server, name), (None, ""))
        if child is None or child.poll() is not None:
            child = launch(folder)
            line = await asyncio.to_thread(child.stdout.readline)
            url = f"http://127.0.0.1:{int(line.split()[1])}"
            self.running[server, name] = (child, url)
        return url

    async def stop(self, server: str, name: str) -> None:
        child, _ = self.running.pop((server, name), (None, ""))
        if child is not None:
            child.terminate()
            await asyncio.to_thread(child.communicate)


def launch(folder: Path) -> subprocess.Popen:
    """A real workload process; its first line tells the port."""
    words = [sys.executable, "-m", "wattcast_tools.room.workload", str(folder)]
    return subprocess.Popen([*words, "--parent", str(os.getpid())], stdout=subprocess.PIPE)


async def main(port: int, root: Path) -> None:
    engines = Engines(root)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await serve("127.0.0.1", port, engines.handle)
    await stop.wait()
    server.close()
    for place, name in list(engines.running):
        await engines.stop(place, name)


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
