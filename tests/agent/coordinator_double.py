"""A coordinator for tests: a real gRPC server that stores, acknowledges and commands."""

import asyncio

import grpc

from wattcast_core.commands import CommandResult
from wattcast_core.messages import Ack, Batch, Beat, Copied, Copy, Hello, Welcome
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2_grpc


class CoordinatorDouble(agent_pb2_grpc.AgentLinkServicer):
    """Keeps what it acknowledged over restarts, as the real one's database does."""

    def __init__(self, token=5):
        self.token = token
        self.hellos, self.batches, self.results = [], [], []
        self.arrived = asyncio.Condition()
        self.answer_hello = lambda _: Welcome(3, self.token, self.acknowledged)
        self.acknowledge = self.keep_copies = True
        self.beats, self.copies = [], []
        self.answer_beat = lambda _: None
        self._down = []
        self._server = None
        self.port = 0

    @property
    def acknowledged(self):
        return max((b.sequence for b in self.batches), default=-1)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def start(self):
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        agent_pb2_grpc.add_AgentLinkServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self):
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def command(self, command):
        for queue in self._down:
            queue.put_nowait(command)

    async def until(self, condition, patience_s=10.0):
        async with asyncio.timeout(patience_s), self.arrived:
            await self.arrived.wait_for(condition)

    async def Connect(self, requests, context):  # noqa: N802 - the contract's name
        down = asyncio.Queue()
        self._down.append(down)
        reading = asyncio.create_task(self._read(requests, down))
        try:
            while True:
                yield wire.encode_coordinator(await down.get())
        finally:
            self._down.remove(down)
            reading.cancel()

    async def _read(self, requests, down):
        async for request in requests:
            async with self.arrived:
                match wire.decode_agent(request):
                    case Hello() as hello:
                        self.hellos.append(hello)
                        down.put_nowait(self.answer_hello(hello))
                    case Batch() as batch if self.acknowledge:
                        self.batches.append(batch)
                        down.put_nowait(Ack(batch.sequence))
                    case CommandResult() as result:
                        self.results.append(result)
                    case Beat() as beat:
                        self.beats.append(beat)
                        if (lease := self.answer_beat(beat)) is not None:
                            down.put_nowait(lease)
                    case Copy() as copy:
                        self.copies.append(copy)
                        if self.keep_copies:
                            down.put_nowait(Copied(copy.number))
                self.arrived.notify_all()
