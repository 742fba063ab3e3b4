"""The gRPC side for agents: one stream each, batches up and acknowledged, commands down."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

import grpc
import grpc.aio

from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.errors import ConfigError, DataError, WattcastError
from wattcast_core.messages import (
    SPOKEN_VERSIONS,
    Ack,
    AgentMessage,
    Batch,
    Beat,
    Champions,
    CoordinatorMessage,
    Copied,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.models import ModelReport
from wattcast_core.signature import FEATURES
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2_grpc
from wattcast_proto.v1.agent_pb2 import AgentMessage as WireUp
from wattcast_proto.v1.agent_pb2 import CoordinatorMessage as WireDown
from wattcast_proto.v1.agent_pb2 import ModelChunk, ModelRequest

_log = logging.getLogger(__name__)
_SEEN = 16  # batches of an agent that may wait for the database; agents send 8 at a time
_MODELS_SINCE = 4  # version of the protocol
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second coordinator would silently share the port
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
)


class AgentHandler(Protocol):
    """What the coordinator does with what agents say."""

    async def on_hello(self, hello: Hello) -> Welcome | Rejected:
        """Answer an agent whose version and features fit."""

    async def see(self, agent: str, batch: Batch) -> Batch:
        """Take note of a batch as it comes; returns what of it shall be kept."""

    async def keep(self, agent: str, batch: Batch) -> None:
        """Return when the batch is durable; it is acknowledged then."""

    async def on_result(self, result: CommandResult) -> None:
        """Take note of what became of a command."""

    async def on_beat(self, agent: str, beat: Beat) -> Lease | None:
        """Who reads the agent's rack; None if that cannot be told now."""

    async def on_copy(self, agent: str, copy: Copy) -> bool:
        """Keep a rack's safety state; True when it is in etcd."""

    async def on_report(self, agent: str, report: ModelReport) -> None:
        """Take note of what became of a model at an agent."""

    async def on_gone(self, agent: str) -> None:
        """Take note that an agent's stream ended."""


class ModelSource(Protocol):
    """Keeps the files of models."""

    def read(self, sha256: str, offset: int) -> Iterator[bytes]:
        """Pieces of a file from an offset on; DataError if it is not kept here."""


@dataclass(frozen=True, slots=True)
class _End:
    """Why a stream is closed."""

    code: grpc.StatusCode
    why: str


@dataclass(eq=False, slots=True)
class _Link:
    """One stream: who is on it, and what is to be sent."""

    agent: str = ""
    takes_models: bool = False
    outgoing: asyncio.Queue[CoordinatorMessage | _End] = field(default_factory=asyncio.Queue)
    seen: asyncio.Queue[Batch] = field(default_factory=lambda: asyncio.Queue(_SEEN))


class AgentServer(agent_pb2_grpc.AgentLinkServicer):
    """Serves AgentLink; batches of one agent are kept in order, agents beside each other.

    What an agent says is seen as it comes, also while an earlier batch waits for the database.
    """

    def __init__(self, handler: AgentHandler, models: ModelSource | None = None) -> None:
        self._handler, self._models = handler, models
        self._links: dict[str, _Link] = {}
        self._server: grpc.aio.Server | None = None
        self._champions: Champions | None = None

    @property
    def connected(self) -> frozenset[str]:
        """Ids of the agents with an open stream."""
        return frozenset(self._links)

    async def start(self, address: str) -> int:
        """Listen on ``host:port`` (port 0 takes a free one); returns the port.

        Raises:
            ConfigError: the address cannot be bound.
        """
        self._server = grpc.aio.server(options=_OPTIONS)
        agent_pb2_grpc.add_AgentLinkServicer_to_server(self, self._server)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(
                f"gRPC address {address} cannot be bound (taken?); remedy: end what listens there,"
                " or set listen.grpc to another port (0 takes a free one)"
            ) from error
        await self._server.start()
        return port

    async def stop(self, grace_real_s: float = 0.5) -> None:
        """Close all streams and the port."""
        for link in self._links.values():
            link.outgoing.put_nowait(_End(grpc.StatusCode.UNAVAILABLE, "coordinator stops"))
        if self._server is not None:
            await self._server.stop(grace_real_s)

    def send(self, agent: str, command: AtsCommand) -> bool:
        """Queue a command for an agent; False if it is not connected."""
        link = self._links.get(agent)
        if link is not None:
            link.outgoing.put_nowait(command)
        return link is not None

    def tell_champions(self, champions: Champions | None) -> None:
        """Tell all agents of the champions, now and when they connect; None: they are not known."""
        self._champions = champions
        for link in self._links.values():
            self._send_champions(link)

    def _send_champions(self, link: _Link) -> None:
        if self._champions is not None and link.takes_models:
            link.outgoing.put_nowait(self._champions)

    async def Fetch(  # noqa: N802 - the name is given by the contract
        self, request: ModelRequest, context: Any
    ) -> AsyncIterator[ModelChunk]:
        """Send a model's file, read piece by piece beside the loop."""
        try:
            pieces = self._pieces(request.sha256, max(0, request.offset))
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield ModelChunk(content=piece)
        except DataError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    def _pieces(self, sha256: str, offset: int) -> Iterator[bytes]:
        if self._models is None:
            raise DataError("no models are kept at this coordinator")
        return self._models.read(sha256, offset)

    async def Connect(  # noqa: N802 - the name is given by the contract
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[WireDown]:
        """Serve one agent until either side ends the stream."""
        link = _Link()
        work = (self._serve(request_iterator, link), self._keep(link))
        tasks = [asyncio.create_task(self._guard(each, link)) for each in work]
        end = _End(grpc.StatusCode.OK, "")
        try:
            while not isinstance(message := await link.outgoing.get(), _End):
                yield wire.encode_coordinator(message)
            end = message
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._forget(link)
        if end.code is not grpc.StatusCode.OK:
            await context.abort(end.code, end.why)

    async def _guard(self, work: Coroutine[None, None, None], link: _Link) -> None:
        """The end of any direction is the end of the stream."""
        end = _End(grpc.StatusCode.OK, "")
        try:
            await work
        except (DataError, ValueError, OverflowError) as error:
            end = _End(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except WattcastError as error:
            end = _End(grpc.StatusCode.UNAVAILABLE, str(error))
        except grpc.aio.BaseError:
            pass  # the agent vanished: nothing to tell it
        except Exception as error:  # noqa: BLE001 - one agent's trouble must not end the others
            _log.exception("stream of agent %s", link.agent or "(no hello)")
            end = _End(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        if end.why:
            _log.warning("agent %s: %s", link.agent or "(no hello)", end.why)
        link.outgoing.put_nowait(end)

    async def _serve(self, requests: AsyncIterator[WireUp], link: _Link) -> None:
        async for request in requests:
            message = wire.decode_agent(request)
            if link.agent:
                await self._take(message, link)
            elif not isinstance(message, Hello):
                raise DataError("the first message of a stream must be a Hello")
            elif not await self._greet(message, link):
                return

    async def _greet(self, hello: Hello, link: _Link) -> bool:
        why = _misfit(hello)
        answer = Rejected(why) if why else await self._handler.on_hello(hello)
        link.outgoing.put_nowait(answer)
        if isinstance(answer, Rejected):
            _log.warning("agent %s rejected: %s", hello.agent, answer.why)
            return False
        link.agent, link.takes_models = hello.agent, answer.version >= _MODELS_SINCE
        older = self._links.get(hello.agent)
        self._links[hello.agent] = link
        self._send_champions(link)
        if older is not None:
            older.outgoing.put_nowait(
                _End(grpc.StatusCode.ABORTED, f"agent {hello.agent} connected anew elsewhere")
            )
        return True

    async def _take(self, message: AgentMessage, link: _Link) -> None:
        match message:
            case Batch():
                await link.seen.put(await self._handler.see(link.agent, message))
            case CommandResult():
                await self._handler.on_result(message)
            case Beat():
                if (lease := await self._handler.on_beat(link.agent, message)) is not None:
                    link.outgoing.put_nowait(lease)
            case Copy():
                if await self._handler.on_copy(link.agent, message):
                    link.outgoing.put_nowait(Copied(message.number))
            case ModelReport():
                await self._handler.on_report(link.agent, message)
            case Hello():
                raise DataError(f"agent {link.agent}: a second Hello on the same stream")
            case _:
                assert_never(message)

    async def _keep(self, link: _Link) -> None:
        while True:
            batch = await link.seen.get()
            await self._handler.keep(link.agent, batch)
            link.outgoing.put_nowait(Ack(batch.sequence))

    async def _forget(self, link: _Link) -> None:
        if self._links.get(link.agent) is link:
            del self._links[link.agent]
            await self._handler.on_gone(link.agent)


def _misfit(hello: Hello) -> str:
    if not hello.agent:
        return "the Hello names no agent; remedy: set the agent's id in its rack file"
    if not set(SPOKEN_VERSIONS) & set(hello.versions):
        theirs = ", ".join(map(str, hello.versions)) or "none"
        ours = ", ".join(map(str, SPOKEN_VERSIONS))
        return (
            f"agent {hello.agent} speaks protocol {theirs}, this coordinator {ours};"
            " remedy: upgrade the older of the two"
        )
    if hello.features != FEATURES:
        return (
            f"agent {hello.agent} has other signature features than this coordinator;"
            " remedy: run the same version of wattcast on both"
        )
    return ""
