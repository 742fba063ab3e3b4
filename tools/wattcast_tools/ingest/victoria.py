"""VictoriaMetrics beside: the same rows as Influx lines over HTTP, and a SIGKILL in the middle."""

import http.client
import json
import shutil
import subprocess
import tempfile
import time
from typing import Any

import psutil

from wattcast_core.errors import WattcastError
from wattcast_tools.ingest.load import START, STEP_S, VALUES, Room, power_w
from wattcast_tools.ingest.postgres_server import free_port

PROGRAM = "victoria-metrics"
_SECONDS, _STEPS = 20.0, 6


def trial(room: Room) -> dict[str, Any] | None:
    """What became of rows that it answered for; None where it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="wattcast-victoria-") as folder:
        server = _Server(program, folder)
        try:
            return _run(server, room)
        finally:
            server.end()


class _Server:
    def __init__(self, program: str, folder: str) -> None:
        self.port, self._ended_s = free_port(), 0.0
        self._command = (
            program,
            f"-storageDataPath={folder}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-loggerLevel=ERROR",
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        for _ in range(400):
            try:
                self.ask("GET", "/health")
            except OSError:
                time.sleep(0.025)
            else:
                return
        raise WattcastError("VictoriaMetrics does not start")

    def used_s(self) -> float:
        """CPU seconds of all its lives."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(self._ended_s + times.user + times.system)

    def end(self) -> None:
        """Kill it."""
        if self._process.poll() is None:
            self._ended_s = self.used_s()
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise WattcastError(f"VictoriaMetrics answers {answer.status}: {text[:200]!r}")
        return text


def _run(server: _Server, room: Room) -> dict[str, Any]:
    step, killed, began = 0, False, time.monotonic()
    while (now := time.monotonic() - began) < _SECONDS:
        server.ask("POST", "/write?precision=ms", _lines(room, step))
        step += _STEPS
        if not killed and now > _SECONDS / 2:
            killed = True
            server.end()
            server.start()
    acked = step * room.servers
    server.ask("GET", "/internal/force_flush")
    counted = server.ask("GET", "/api/v1/export?match[]=row_power_w&reduce_mem_usage=1")
    cpu_s = server.used_s()
    stored = sum(len(json.loads(line)["values"]) for line in counted.splitlines())
    return {
        "values_per_s_per_core": round(acked * VALUES / cpu_s),
        "kills": 1,
        "acked_rows": acked,
        "lost_rows": acked - stored,
    }


def _lines(room: Room, first: int) -> bytes:
    """One rack at a few steps, a line a row with all its quantities."""
    names = room.names(0)
    at_ms = round(1000 * START.timestamp())
    tail = ",".join(f"f{n}={1000 * n + 0.5}" for n in range(VALUES - 1))
    return "".join(
        f"row,server={name} power_w={power_w(place, step)},{tail}"
        f" {at_ms + round(1000 * STEP_S) * step}\n"
        for step in range(first, first + _STEPS)
        for place, name in enumerate(names)
    ).encode()
