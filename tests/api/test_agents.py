import asyncio
from datetime import UTC, datetime

import grpc
import grpc.aio
import pytest

from wattcast_coordinator.api.agents import AgentServer
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.errors import ConfigError, Unreachable
from wattcast_core.messages import (
    Ack,
    Batch,
    Beat,
    Copied,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.samples import Sample
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2 as pb
from wattcast_proto.v1 import agent_pb2_grpc

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = AtsCommand("t-1", 7, 99.5, "ats1", "A", "B")
RESULT = CommandResult("t-1", "ats1", 7, Outcome.TRANSFERRED, "", AT)


class Handler:
    """Keeps what agents say; ``gate`` holds batches back, ``trouble`` fails them."""

    def __init__(self):
        self.batches, self.results, self.gone = [], asyncio.Queue(), asyncio.Queue()
        self.seen = []
        self.gate, self.trouble = asyncio.Event(), None
        self.gate.set()

    async def on_hello(self, hello):
        if hello.rack == "unknown":
            return Rejected("rack 'unknown' is not in the site file")
        return Welcome(1, 7, 41)

    async def see(self, agent, batch):
        self.seen.append(batch.sequence)
        return batch

    async def keep(self, agent, batch):
        await self.gate.wait()
        if self.trouble:
            raise self.trouble
        self.batches.append((agent, batch.sequence))

    async def on_result(self, result):
        self.results.put_nowait(result)

    async def on_beat(self, agent, beat):
        return Lease(beat.sent_real_s, 2.0, 1, agent) if beat.epoch else None

    async def on_copy(self, agent, copy):
        return bool(copy.text)

    async def on_gone(self, agent):
        self.gone.put_nowait(agent)


class Client:
    """A real stream of an agent."""

    def __init__(self, port):
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.call = agent_pb2_grpc.AgentLinkStub(self.channel).Connect()

    async def say(self, *messages):
        for message in messages:
            await self.call.write(wire.encode_agent(message))

    async def hear(self):
        reply = await asyncio.wait_for(self.call.read(), 5)
        return None if reply is grpc.aio.EOF else wire.decode_coordinator(reply)

    async def ended(self):
        """Status code and text with which the stream ended."""
        while True:
            try:
                if await self.hear() is None:
                    break
            except grpc.aio.AioRpcError:
                break
        return await self.call.code(), await self.call.details()


@pytest.fixture
async def handler():
    return Handler()


@pytest.fixture
async def server(handler):
    server = AgentServer(handler)
    server.port = await server.start("127.0.0.1:0")
    yield server
    await server.stop(0.1)


@pytest.fixture
async def connect(server):
    clients = []

    async def _connect(*messages):
        clients.append(Client(server.port))
        await clients[-1].say(*messages)
        return clients[-1]

    yield _connect
    for client in clients:
        await client.channel.close()


async def test_batches_are_acknowledged_in_order_after_they_are_durable(connect, handler):
    client = await connect(Hello("a1", "r1"))
    assert await client.hear() == Welcome(1, 7, 41)
    handler.gate.clear()
    await client.say(Batch(42), Batch(43))
    hearing = asyncio.create_task(client.hear())
    await asyncio.sleep(0.05)
    assert not hearing.done()
    handler.gate.set()
    assert [await hearing, await client.hear()] == [Ack(42), Ack(43)]
    assert handler.batches == [("a1", 42), ("a1", 43)]


async def test_what_comes_after_is_seen_while_a_batch_waits_for_the_database(connect, handler):
    client = await connect(Hello("a1", "r1"))
    await client.hear()
    handler.gate.clear()
    await client.say(Batch(42), Batch(43), RESULT)
    assert await asyncio.wait_for(handler.results.get(), 5) == RESULT
    assert (handler.seen, handler.batches) == ([42, 43], [])


async def test_commands_reach_the_agent_while_a_batch_is_under_way(connect, handler, server):
    client = await connect(Hello("a1", "r1"))
    await client.hear()
    handler.gate.clear()
    await client.say(Batch(1))
    assert server.send("a1", COMMAND)
    assert not server.send("a2", COMMAND)
    assert await client.hear() == COMMAND
    handler.gate.set()
    await client.say(RESULT)
    assert await asyncio.wait_for(handler.results.get(), 5) == RESULT


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (Hello("a1", "r1", versions=(8, 9)), "speaks protocol 8, 9, this coordinator 1, 2, 3"),
        (Hello("a1", "r1", features=("cpu_pct",)), "other signature features"),
        (Hello("", "r1"), "names no agent"),
        (Hello("a1", "unknown"), "not in the site file"),
    ],
    ids=["no common version", "other features", "no name", "handler says no"],
)
async def test_an_agent_that_does_not_fit_is_told_why(connect, server, hello, why):
    client = await connect(hello)
    answer = await client.hear()
    assert isinstance(answer, Rejected)
    assert why in answer.why
    assert await client.hear() is None
    assert not server.connected


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([wire.encode_agent(Batch(1))], "first message of a stream must be a Hello"),
        ([pb.AgentMessage()], "empty or newer"),
        ([wire.encode_agent(Hello("bad", "r1"))] * 2, "second Hello"),
        (
            [
                wire.encode_agent(Hello("bad", "r1")),
                pb.AgentMessage(batch=pb.Batch(samples=[pb.Sample(at_ms=1 << 62)])),
            ],
            "",
        ),
    ],
    ids=["no hello", "empty", "two hellos", "time out of range"],
)
async def test_a_bad_message_ends_its_own_stream_only(connect, server, messages, why):
    good = await connect(Hello("good", "r1"))
    await good.hear()
    bad = Client(server.port)
    for message in messages:
        await bad.call.write(message)
    code, text = await bad.ended()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert why in text
    await bad.channel.close()
    await good.say(Batch(1, samples=(Sample("pdu", "inlet.1.power_w", 1.0, AT),)))
    assert await good.hear() == Ack(1)
    assert server.connected == {"good"}


async def test_the_newest_connection_of_an_agent_wins(connect, server, handler):
    older = await connect(Hello("a1", "r1"))
    await older.hear()
    newer = await connect(Hello("a1", "r1"))
    await newer.hear()
    assert await older.ended() == (grpc.StatusCode.ABORTED, "agent a1 connected anew elsewhere")
    server.send("a1", COMMAND)
    assert await newer.hear() == COMMAND
    newer.call.cancel()
    assert await asyncio.wait_for(handler.gone.get(), 5) == "a1"
    assert not server.connected
    assert handler.gone.empty()


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Unreachable("database is away"), grpc.StatusCode.UNAVAILABLE),
        (RuntimeError("disk full"), grpc.StatusCode.INTERNAL),
    ],
    ids=["known", "unforeseen"],
)
async def test_a_batch_that_cannot_be_stored_is_not_acknowledged(connect, handler, trouble, code):
    client = await connect(Hello("a1", "r1"))
    await client.hear()
    handler.trouble = trouble
    await client.say(Batch(1))
    ended, text = await client.ended()
    assert ended is code
    assert str(trouble) in text
    handler.trouble = None
    again = await connect(Hello("a1", "r1"), Batch(1))
    assert [await again.hear(), await again.hear()] == [Welcome(1, 7, 41), Ack(1)]


async def test_a_taken_port_is_told_with_the_remedy(server, handler):
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{server.port}.*listen.grpc"):
        await AgentServer(handler).start(f"127.0.0.1:{server.port}")


async def test_stopping_ends_the_streams(connect, server):
    client = await connect(Hello("a1", "r1"))
    await client.hear()
    await server.stop(1.0)
    assert (await client.ended())[0] is grpc.StatusCode.UNAVAILABLE


async def test_beats_and_copies_are_answered_when_there_is_an_answer(connect):
    client = await connect(Hello("a1", "r1"))
    await client.hear()
    await client.say(Beat(1.0), Beat(1.5, 1), Copy(1, ""), Copy(2, "state"))
    assert await client.hear() == Lease(1.5, 2.0, 1, "a1")
    assert await client.hear() == Copied(2)
