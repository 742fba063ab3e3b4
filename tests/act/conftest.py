"""A small site of real processes: engines, workloads, a reverse proxy, a verifying writer."""

import asyncio
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio

from wattcast_coordinator.act import choose
from wattcast_coordinator.act.app import WorkloadApp
from wattcast_coordinator.act.engine import EngineExecutor

DOUBLE = Path(__file__).parent / "double" / "engine_double.py"
SERVERS = ("s1", "s2", "s3")
WORKLOADS = ("web", "shop")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Writer:
    """Clients with keep-alive that write unique records and remember each acknowledgement."""

    port: int
    clients: int = 8
    acknowledged: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    requests: int = 0
    worst_s: float = 0.0
    _stop: bool = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(n)) for n in range(self.clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        count = 0
        while not self._stop:
            ident = f"c{number}-{count}"
            body = f"{ident}:" + "x" * (20_000 if count % 4 == 0 else 200)
            began_s = time.monotonic()
            self.requests += 1
            try:
                status = await ask(streams, "PUT", f"/records/{ident}", body)
                if status[0] == 200:
                    self.acknowledged[ident] = body
                else:
                    self.failures.append(f"{ident}: {status}")
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"{ident}: {error!r}")
                streams[1].close()
                streams = await asyncio.open_connection("127.0.0.1", self.port)
            self.worst_s = max(self.worst_s, time.monotonic() - began_s)
            count += 1
            await asyncio.sleep(0.01)
        streams[1].close()

    async def lost(self) -> list[str]:
        """Read every acknowledged record back through the proxy."""
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        lost = []
        for ident, body in self.acknowledged.items():
            if await ask(streams, "GET", f"/records/{ident}", "") != (200, body):
                lost.append(ident)
        streams[1].close()
        return lost


async def ask(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str, path: str, body: str
) -> tuple[int, str]:
    reader, writer = streams
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode().lower()
    length = int(lines.split("content-length:")[1].split("\r\n")[0])
    return int(lines.split(" ")[1]), (await reader.readexactly(length)).decode()


@dataclass
class Place:
    """What a test gets."""

    executor: EngineExecutor
    redirector: Any
    app: WorkloadApp
    ports: dict[str, int]
    kind: str
    folder: Path
    proxy: subprocess.Popen[bytes]

    def writer(self, workload: str = "web", clients: int = 8) -> Writer:
        return Writer(self.ports[workload], clients)


def launch(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *map(str, words)])


async def _answers(port: int) -> None:
    deadline_s = time.monotonic() + 10
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@pytest.fixture(
    params=["envoy", pytest.param("haproxy", marks=pytest.mark.apt("haproxy"))],
)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest_asyncio.fixture
async def place(kind: str, tmp_path: Path):
    """Workloads ``web`` and ``shop`` on s1, behind a proxy."""
    port = free_port()
    engine = launch(DOUBLE, port, tmp_path / "state")
    proxy = None
    executor = EngineExecutor({s: f"http://127.0.0.1:{port}/{s}" for s in SERVERS})
    app = WorkloadApp()
    try:
        await _answers(port)
        serving = {w: await executor.start(w, "s1") for w in WORKLOADS}
        ports = {w: free_port() for w in WORKLOADS}
        folder = tmp_path / "proxy"
        listeners = {w: ("127.0.0.1", p) for w, p in ports.items()}
        choose.write_bootstrap(kind, folder, listeners, serving)
        proxy = choose.start(kind, folder)
        redirector = choose.redirector(kind, folder)
        for workload, listen in ports.items():
            await _answers(listen)
            await redirector.wait_up(workload, serving[workload])
        here = Place(executor, redirector, app, ports, kind, folder, proxy)
        yield here
        proxy = here.proxy
        await redirector.aclose()
    finally:
        await app.aclose()
        await executor.aclose()
        for child in filter(None, (proxy, engine)):
            child.terminate()
            child.wait(10)
