"""Bad data, a full disk and a database that goes away, through the real gRPC server and handler."""

import asyncio
import math
import resource
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from store_rows import START, STEP, batch

from wattcast_agent.link import client
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store import queue as store_queue
from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.duck import DuckEngine
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock, Segment
from wattcast_core.errors import StoreUnavailable
from wattcast_core.messages import Ack, Batch, Hello
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2_grpc
from wattcast_tools.ingest import load
from wattcast_tools.ingest.clients import Sender
from wattcast_tools.ingest.load import Room
from wattcast_tools.ingest.postgres_server import PostgresServer, free_port

ROOM = Room(racks=2, servers=3)
NOW = START + 10 * STEP
DAY = timedelta(days=1)


class Ingest:
    """The coordinator's ingest path; ``told`` are the events an operator reads."""

    def __init__(self, store, now):
        self.store, self.queue, self.board, self.told = store, AsyncStore(store), Board(), []
        clock = DataClock((Segment(time.time(), now.timestamp(), 1.0),))
        self.handler = Handler(self.queue, self.board, clock, ROOM.site(), lambda: 1, 300.0)
        self.handler.joined, self.handler.tell = self._joined, self._tell
        self.server = AgentServer(self.handler)

    async def _joined(self, hello):
        pass

    async def _tell(self, event):
        self.told.append(event)

    @asynccontextmanager
    async def stream(self, name="a"):
        """What sends batches on a new stream and gives the acknowledged sequence back."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = agent_pb2_grpc.AgentLinkStub(channel).Connect()
            await call.write(wire.encode_agent(Hello(name, "r000")))
            wire.decode_coordinator(await call.read())

            async def send(message):
                await call.write(wire.encode_agent(message))
                answer = wire.decode_coordinator(await asyncio.wait_for(call.read(), 10))
                assert isinstance(answer, Ack)
                return answer.sequence

            yield send


@asynccontextmanager
async def running(store, now=NOW, port=0):
    ingest = Ingest(store, now)
    ingest.port = await ingest.server.start(f"127.0.0.1:{port}")
    try:
        yield ingest
    finally:
        await ingest.server.stop(0.1)
        await ingest.queue.close()


@pytest.fixture
async def ingest(place):
    async with running(SqlStore(place())) as ingest:
        yield ingest


def _row(at, cords_w=(50.0, 50.0), first=1.0):
    return Signature("s1", at, 300.0, cords_w, (first, *[2.0] * (len(FEATURES) - 1)))


@pytest.mark.integration
async def test_what_cannot_be_is_a_gap_of_quality_invalid_and_told_once(ingest):
    bad = Batch(
        1,
        (
            Sample("p", "inlet.1.power_w", -5.0, START),
            Sample("p", "outlet.2.current_a", math.inf, START),
            Sample("p", "env.1.temperature_c", -5.0, START),
            Sample("p", "inlet.1.energy_wh", math.nan, START, Quality.MISSING),
        ),
        (_row(START, (-20.0, 50.0)), _row(START + STEP, (math.inf, 1.0), math.inf)),
    )
    async with ingest.stream() as send:
        assert await send(bad) == 1
        assert await send(replace(bad, sequence=2)) == 2
    rows = ingest.store.engine.rows
    assert rows("SELECT quantity, value, quality FROM samples ORDER BY 1") == [
        ("env.1.temperature_c", -5.0, "good"),
        ("inlet.1.energy_wh", None, "missing"),
        ("inlet.1.power_w", None, "invalid"),
        ("outlet.2.current_a", None, "invalid"),
    ]
    found = rows("SELECT power_w, cords_w, cpu_pct, quality FROM signatures ORDER BY ts")
    assert found == [(None, [None, 50.0], 1.0, "invalid"), (None, [None, 1.0], None, "invalid")]
    (event,) = ingest.told
    assert "a sent readings that cannot be" in event.text
    assert "remedy: check wiring" in event.text
    assert math.isnan(ingest.board.signatures["s1"].power_w)


@pytest.mark.integration
async def test_a_clock_that_jumps_ahead_bars_no_true_reading_and_one_behind_loses_none(ingest):
    ahead, behind = NOW + timedelta(days=400), NOW - timedelta(days=20_000)
    async with ingest.stream() as send:
        for sequence, at in enumerate((NOW, ahead, NOW + STEP / 2, behind, NOW - STEP)):
            assert await send(Batch(sequence, signatures=(_row(at),))) == sequence
    assert ingest.board.signatures["s1"].at == NOW + STEP / 2
    stored = ingest.store.engine.rows("SELECT ts FROM signatures ORDER BY ts")
    expected = (behind, NOW - STEP, NOW, NOW + STEP / 2)
    assert [at for (at,) in stored] == [at.replace(tzinfo=None) for at in expected]
    (event,) = ingest.told
    assert "readings from the future; dropped; remedy: check its clock" in event.text


@pytest.mark.integration
async def test_doubled_and_reordered_batches_give_every_row_once(ingest):
    async with ingest.stream() as send, ingest.stream("b") as other:
        for sequence in (3, 1, 1, 4, 2, 3, 0):
            assert await send(batch(sequence)) == sequence
        await other(batch(2))
    counts = ingest.store.counts()
    assert (counts.signatures, counts.samples, counts.rows) == (10, 20, 10 + 20 + 10 + 5)
    assert ingest.store.acknowledged("a") == 4


@pytest.mark.integration
async def test_a_server_that_changes_application_goes_on(ingest):
    async with ingest.stream() as send:
        for sequence, application in enumerate(("shop", "batch")):
            await send(batch(sequence, ("s1",), application=application))
    assert ingest.board.signatures["s1"].tags.application == "batch"
    spans = ingest.store.engine.rows("SELECT application FROM servers ORDER BY valid_from")
    assert spans == [("shop",), ("batch",)]
    assert ingest.told == []


class Flaky:
    """A store that is away at times, and never takes agent ``bad``."""

    def __init__(self):
        self.away, self.events, self.batches = True, [], []

    def write_event(self, event):
        if self.away:
            raise StoreUnavailable("away")
        if event.text == "bad":
            raise ValueError("cannot be stored")
        self.events.append(event.text)

    def write_many(self, batches):
        if any(agent == "bad" for agent, _ in batches):
            raise ValueError("cannot be stored")
        self.batches += [agent for agent, _ in batches]

    def acknowledged(self, agent):
        time.sleep(0.5)
        return 7

    def close(self):
        pass


async def test_events_wait_in_order_for_a_database_that_is_away_and_nobody_waits_for_them():
    store = Flaky()
    queue = AsyncStore(store)
    for text in ("first", "bad", "second"):
        queue.write_event(RaiseEvent(Severity.INFO, "k", text, START))
    await asyncio.sleep(0.1)
    assert store.events == []
    store.away = False
    await queue.close()
    assert store.events == ["first", "second"]


async def test_a_batch_that_cannot_be_stored_fails_alone():
    store = Flaky()
    queue = AsyncStore(store)
    work = [queue.write(agent, batch(0)) for agent in ("a", "bad", "b")]
    found = await asyncio.gather(*work, return_exceptions=True)
    assert [type(each) for each in found] == [type(None), ValueError, type(None)]
    assert sorted(store.batches) == ["a", "b"]
    await queue.close()


async def test_an_agent_is_welcomed_also_while_the_database_hangs(monkeypatch):
    monkeypatch.setattr(store_queue, "_PATIENCE_REAL_S", 0.05)
    queue = AsyncStore(Flaky())
    assert await queue.acknowledged("a") == -1
    monkeypatch.setattr(store_queue, "_PATIENCE_REAL_S", 5.0)
    assert await queue.acknowledged("a") == 7
    await queue.close()


@pytest.mark.e2e
@pytest.mark.slow
async def test_a_database_that_restarts_stops_no_decision_and_loses_nothing_acknowledged(
    monkeypatch,
):
    monkeypatch.setattr(client, "_ACK_REAL_S", 2.0)
    from wattcast_coordinator.store.postgres import PostgresEngine

    database = PostgresServer()
    try:
        database.create("--wal-segsize=1")
        database.start("fsync=off")
        store = SqlStore(PostgresEngine(database.url()))
        async with running(store, load.START + 30 * DAY, free_port()) as ingest:
            senders = [Sender(ROOM, rack, ingest.port, 0) for rack in range(ROOM.racks)]
            links = [asyncio.create_task(sender.link.run()) for sender in senders]
            await _until(senders, lambda: all(s.outbox.acked_step > 5 for s in senders))
            database.kill()
            await _until(senders, lambda: "store" in [e.kind for e in ingest.told])
            away = {name: s.at for name, s in ingest.board.signatures.items()}
            await _until(senders, lambda: any(ingest.board.signatures[n].at > at
                                              for n, at in away.items()))  # fmt: skip
            acked = [sender.outbox.acked_step for sender in senders]
            database.start("fsync=off")
            wanted = max(acked) + 20
            await _until(senders, lambda: all(s.outbox.acked_step > wanted for s in senders))
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)
            found = dict(store.engine.rows("SELECT server, count(DISTINCT ts) FROM signatures"
                                           " GROUP BY 1"))  # fmt: skip
            doubled = store.engine.rows("SELECT 1 FROM signatures GROUP BY server, ts"
                                        " HAVING count(*) > 1")  # fmt: skip
        for sender in senders:
            assert all(found[name] > sender.outbox.acked_step for name in sender.agent.names)
        assert doubled == []
        told = [event.text for event in ingest.told]
        assert "remedy: check the server" in told[0]
        assert told[1] == "the signature database takes rows again"
    finally:
        database.remove()


async def _until(senders, condition):
    async with asyncio.timeout(40):
        while not condition():
            for sender in senders:
                sender.fill()
            await asyncio.sleep(0.02)


_LIMITED = 4 << 20


def _fill(path):
    """Child: write under a limit of file size until refused, then without, until told to end."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMITED, resource.RLIM_INFINITY))
    store, sequence, refused = SqlStore(DuckEngine(path)), 0, 0
    while refused < 3 or sequence % 10:
        try:
            store.write("a", batch(sequence, samples=5000))
        except StoreUnavailable as error:
            refused += 1
            if refused == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            sys.stdout.write(f"refused {error}\n")
            continue
        sys.stdout.write(f"{sequence}\n")
        sequence += 1
    sys.stdout.flush()
    time.sleep(60)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_full_disk_refuses_with_the_remedy_and_nothing_acknowledged_is_lost(tmp_path):
    path = tmp_path / "s.duckdb"
    command = [sys.executable, __file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        lines = iter(writer.stdout.readline, "")
        told = []
        for line in lines:
            told.append(line.strip())
            if line.strip().isdigit() and (int(line) + 1) % 10 == 0 and _refusals(told) == 3:
                break
        writer.kill()
    assert _refusals(told) == 3
    assert "remedy: make room on the disk" in next(t for t in told if "refused" in t)
    acked = [int(t) for t in told if t.isdigit()]
    store = SqlStore(DuckEngine(path))
    assert acked == list(range(len(acked)))
    assert store.counts().samples == 5000 * len(acked)
    assert store.acknowledged("a") == acked[-1]
    store.close()


def _refusals(told):
    return sum(line.startswith("refused") for line in told)


if __name__ == "__main__":
    from pathlib import Path

    _fill(Path(sys.argv[1]))
