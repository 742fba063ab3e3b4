"""One trial: history, ingest under kills and queries, and what is in the database after it."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import psutil

from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.open import open_store
from wattcast_core.errors import WattcastError
from wattcast_core.messages import Batch
from wattcast_tools.ingest.load import POWER, START, STEP_S, VALUES, Agent, Room, power_w
from wattcast_tools.ingest.postgres_server import PostgresServer, free_port

_DAY_STEPS = round(86_400 / STEP_S)
_HOUR_STEPS = round(3_600 / STEP_S)
_START_REAL_S = 60.0
_SUMS = (
    "SELECT server, count(*), count(DISTINCT ts), sum(power_w) FROM signatures"
    " WHERE server BETWEEN $1 AND $2 AND ts BETWEEN $3 AND $4 GROUP BY server"
)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how large, and how often the ingest process is killed.

    Attributes:
        history_h: hours of rack PDUs' power that are there before; of servers one hour.
    """

    engine: str = "duckdb"
    seconds: float = 60.0
    kills: int = 3
    history_h: int = 24
    room: Room = field(default_factory=Room)


@dataclass(slots=True)
class Life:
    """One life of the ingest process."""

    process: "subprocess.Popen[str]"
    queries: list[Json] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    cpu_s: float = 0.0
    _listener: threading.Thread | None = None

    def begin(self) -> None:
        """Take what it prints, and wait until it is ready.

        Raises:
            WattcastError: it ended, or took too long.
        """
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if not self.ready.wait(_START_REAL_S) or self.process.poll() is not None:
            raise WattcastError("the ingest process did not start; see above")

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            with contextlib.suppress(ValueError):  # the last line of a killed process is cut
                fact = json.loads(line)
                self.queries += [fact] if "query" in fact else []
            self.ready.set()

    def end(self, *, kill: bool) -> None:
        """Kill it, or ask it to finish; note its CPU time."""
        times = psutil.Process(self.process.pid).cpu_times()
        self.cpu_s = times.user + times.system
        (self.process.kill if kill else self.process.terminate)()
        with self.process:  # waits, and closes the pipe
            if self._listener is not None:
                self._listener.join()


def run(plan: Plan, url: str, postgres: PostgresServer | None = None) -> Json:
    """Run a trial on an empty database; the document of ``wattcast bench ingest --json``.

    Args:
        plan: what to do.
        url: of the store.
        postgres: the server behind it: its CPU time counts as well.

    Raises:
        WattcastError: a process failed, or a stored row is not what was sent.
    """
    _tell(f"writing {plan.history_h} hours of history")
    _write_history(plan, url)
    before_s = _server_cpu_s(postgres)
    lives, acked = _ingest(plan, url)
    cpu_s = sum(life.cpu_s for life in lives) + _server_cpu_s(postgres) - before_s
    _tell("counting rows")
    rows = {agent: step - _DAY_STEPS + 1 for agent, step in acked.items()}
    store = open_store(url)
    lost, duplicate = _count(store, plan.room, acked)
    store.close()
    took_ms = [query["ms"] for life in lives for query in life.queries]
    if not took_ms:
        raise WattcastError("no dashboard query was answered; remedy: give more --seconds")
    acked_rows = sum(rows.values()) * plan.room.servers
    return {
        "engine": plan.engine,
        "values_per_s_per_core": round(acked_rows * VALUES / cpu_s),
        "query_ms": {"p95": round(float(np.percentile(took_ms, 95)), 1)},
        "kills": len(lives) - 1,
        "acked_rows": acked_rows,
        "lost_rows": lost,
        "duplicate_rows": duplicate,
    }


def _write_history(plan: Plan, url: str) -> None:
    """The rack PDUs' power and an hour of all servers, added up as they would be."""
    store, room = open_store(url), plan.room
    for number in range(room.racks):
        agent = Agent(room, number)
        for first in range(_DAY_STEPS - plan.history_h * _HOUR_STEPS, _DAY_STEPS, _HOUR_STEPS):
            chunk = list(range(first, first + _HOUR_STEPS))
            servers = agent.signatures(chunk) if first >= _DAY_STEPS - _HOUR_STEPS else ()
            store.write("history", Batch(0, agent.samples(chunk, POWER), servers))
    meters = {
        pdu: (feed, room.rack(number), "pdu")
        for number in range(room.racks)
        for pdu, feed in room.pdus(number).items()
    }
    store.describe(meters, START)
    store.roll_up(START + timedelta(days=1), 7)
    store.close()


def _ingest(plan: Plan, url: str) -> tuple[list[Life], dict[str, int]]:
    """Lives of the ingest process, and the last acknowledged step of each agent."""
    port = free_port()
    lives = [_begin(plan.room, url, port)]
    with _clients(plan.room, port) as clients:
        for number in range(plan.kills + 1):
            _wait(clients, plan.seconds / (plan.kills + 1))
            if number < plan.kills:
                lives[-1].end(kill=True)
                _tell(f"killed {number + 1} of {plan.kills}")
                lives.append(_begin(plan.room, url, port))
        clients.terminate()
        answer, _ = clients.communicate()
    lives[-1].end(kill=False)
    if clients.returncode:
        raise WattcastError("the agents failed; see above")
    return lives, json.loads(answer)["acked"]


def _begin(room: Room, url: str, port: int) -> Life:
    life = Life(_python("server", url, "--port", port, *_size(room)))
    life.begin()
    return life


@contextlib.contextmanager
def _clients(room: Room, port: int) -> Iterator["subprocess.Popen[str]"]:
    with _python("clients", "--port", port, *_size(room), "--first-step", _DAY_STEPS) as process:
        try:
            yield process
        finally:
            process.kill()


def _size(room: Room) -> tuple[object, ...]:
    return ("--racks", room.racks, "--servers", room.servers)


def _python(module: str, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"wattcast_tools.ingest.{module}", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wait(clients: "subprocess.Popen[str]", real_s: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        clients.wait(real_s)
        raise WattcastError("the agents ended early; see above")


def _count(store: SqlStore, room: Room, acked: dict[str, int]) -> tuple[int, int]:
    """Acknowledged rows that are not there, and rows that are there more than once.

    Raises:
        WattcastError: a stored row is not what was sent.
    """
    lost = duplicate = 0
    for number in range(room.racks):
        agent = Agent(room, number)
        last = acked[agent.id]
        found = {server: rest for server, *rest in store.engine.rows(_SUMS, _span(agent, last))}
        steps = np.arange(_DAY_STEPS, last + 1, dtype=np.int64)
        for place, name in enumerate(agent.names):
            rows, distinct, watts = found.get(name, (0, 0, 0.0))
            lost += len(steps) - distinct
            duplicate += rows - distinct
            if rows == len(steps) and watts != power_w(place, steps).sum():
                raise WattcastError(f"{name}: stored power is not what was sent")
    return lost, duplicate


def _span(agent: Agent, last: int) -> list[object]:
    """Parameters of _SUMS: the rack's servers, and its acknowledged steps."""
    begin = START.replace(tzinfo=None)
    times = [begin + timedelta(seconds=STEP_S * step) for step in (_DAY_STEPS, last)]
    return [agent.names[0], agent.names[-1], *times]


def _server_cpu_s(postgres: PostgresServer | None) -> float:
    """CPU seconds of PostgreSQL so far, ended backends included."""
    if postgres is None or postgres.process is None:
        return 0.0
    server = psutil.Process(postgres.process.pid)
    times = server.cpu_times()
    running = [child.cpu_times() for child in server.children(recursive=True)]
    own = times.user + times.system + times.children_user + times.children_system
    return float(own + sum(t.user + t.system for t in running))


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
