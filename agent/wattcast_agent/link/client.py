"""Keeps one stream to the coordinator, whatever happens to it."""

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import takewhile
from typing import Any, Protocol, assert_never

import grpc
import grpc.aio

from wattcast_agent.link import codec
from wattcast_core.commands import AtsCommand, CommandResult
from wattcast_core.errors import DataError, Unreachable, WattcastError
from wattcast_core.messages import (
    Ack,
    AgentMessage,
    Beat,
    Champions,
    Copied,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.models import ModelReport
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2, agent_pb2_grpc

_log = logging.getLogger(__name__)
_HANDSHAKE_REAL_S = 5.0
_ACK_REAL_S = 15.0  # no acknowledgement for so long: the coordinator hangs
_BACKOFF_REAL_S = (0.2, 3.0)  # the most is less than the time after which a partner takes over
_BEAT_REAL_S = 1.0
_BEATS_SINCE, _MODELS_SINCE = 3, 4  # versions of the protocol
_CHUNK_REAL_S = 10.0  # no part of a model's file for so long: the coordinator hangs
_IN_FLIGHT = 8  # messages sent and not yet acknowledged
_MESSAGE_BYTES = 512 * 1024
_JOIN = 64  # spooled batches in one message at most
_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
)


class Outbox(Protocol):
    """The spool, as the link uses it."""

    highest: int

    def pending(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Unacknowledged batches after a sequence, in order."""

    def ack(self, sequence: int) -> None:
        """Forget batches up to ``sequence``."""

    def renumber(self, after: int) -> None:
        """Move all sequences beyond ``after``."""


class Directory(Protocol):
    """Knows where coordinators are."""

    async def address(self) -> str:
        """``host:port`` of the one to try next; waits until there is one."""

    def failed(self, address: str) -> None:
        """This one did not serve us."""


class Link:
    """The agent's end of the stream.

    Batches go up in the order of their sequence. After an absence the waiting ones go first,
    many to a message and not marked live, except the newest one, which still tells the present.
    A command result is sent again on a new stream until the stream took it.
    """

    def __init__(
        self,
        outbox: Outbox,
        directory: Directory,
        hello: Callable[[], Hello],
        inbox: Callable[[AtsCommand | Welcome | Lease | Champions], None],
        beat: Callable[[], Beat] | None = None,
    ) -> None:
        """Wire the link.

        Args:
            outbox: where batches wait.
            directory: where coordinators are.
            hello: the first message, made anew for each stream.
            inbox: takes what the coordinator wants.
            beat: makes what is said every second; None says nothing.
        """
        self._outbox, self._directory, self._hello, self._inbox = outbox, directory, hello, inbox
        self._make_beat = beat
        self._older = outbox.highest  # batches of an earlier life of this agent are never live
        self._results: deque[CommandResult] = deque(maxlen=100)
        self._beats: deque[AgentMessage] = deque(maxlen=2)
        self._reports: dict[tuple[str, str], ModelReport] = {}
        self._stub: Any = None  # while connected to a coordinator that keeps models
        self._copy, self._copy_sent, self._copied = Copy(0, ""), 0, asyncio.Condition()
        self._copied_number = 0
        self._changed = asyncio.Event()
        self._acked = self._sent = -1
        self._progress = 0.0
        self._said = ""

    def wake(self) -> None:
        """A batch was added to the outbox."""
        self._changed.set()

    def answer(self, result: CommandResult) -> None:
        """Send the result of a command, now or on the next stream."""
        self._results.append(result)
        self._changed.set()

    def copy(self, text: str) -> int:
        """Have the safety state kept for the partner, now or on the next stream; its number."""
        self._copy = Copy(self._copy.number + 1, text)
        self._changed.set()
        return self._copy.number

    async def copied(self, number: int, patience_real_s: float) -> bool:
        """Whether a copy is kept in etcd; waits for it, but not for ever."""
        try:
            async with asyncio.timeout(patience_real_s), self._copied:
                await self._copied.wait_for(lambda: self._copied_number >= number)
        except TimeoutError:
            return False
        return True

    def report(self, report: ModelReport) -> None:
        """Tell what became of a model; of one model and application only the newest word goes."""
        self._reports[report.application, report.sha256] = report
        self._changed.set()

    async def fetch(self, sha256: str, offset: int) -> AsyncIterator[bytes]:
        """The file of a model, from an offset on.

        Raises:
            Unreachable: there is no coordinator now, it has no such file, or it hangs.
        """
        if self._stub is None:
            raise Unreachable("no coordinator that keeps models is connected")
        call = self._stub.Fetch(agent_pb2.ModelRequest(sha256=sha256, offset=offset))
        try:
            while True:
                chunk = await asyncio.wait_for(call.read(), _CHUNK_REAL_S)
                if chunk is grpc.aio.EOF:
                    break
                yield chunk.content
            if (code := await call.code()) is not grpc.StatusCode.OK:
                raise Unreachable(f"{code.name}: {_brief(await call.details())}")
        except TimeoutError as error:
            raise Unreachable(f"no part of the file came for {_CHUNK_REAL_S:.0f} s") from error
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"{error.code().name}: {_brief(error.details())}") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unreachable("the connection ended") from error
        finally:
            call.cancel()

    def say(self, beat: Beat) -> None:
        """Send a beat out of turn."""
        self._beats.append(beat)
        self._changed.set()

    async def run(self) -> None:
        """Connect, serve, and connect again with back-off, until cancelled."""
        least, most = _BACKOFF_REAL_S
        spread = 0.75 + zlib.crc32(self._hello().agent.encode()) % 1000 / 2000  # agents not at once
        delay = least
        while True:
            address = await self._directory.address()
            began = time.monotonic()
            try:
                await self._session(address)
            except grpc.aio.AioRpcError as error:
                self._say(f"{address}: {error.code().name}: {_brief(error.details())}")
            except WattcastError as error:
                self._say(f"{address}: {error}")
            except asyncio.InvalidStateError:
                self._say(f"{address}: stream ended")
            except Exception:  # noqa: BLE001 - one bad message must not end the agent's only way up
                _log.exception("coordinator %s: unexpected", address)
            self._directory.failed(address)
            delay = least if time.monotonic() - began > most else min(most, 2 * delay)
            await asyncio.sleep(delay * spread)

    async def _session(self, address: str) -> None:
        try:
            await self._serve(address)
        finally:
            self._stub = None

    async def _serve(self, address: str) -> None:
        async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
            stub: Any = agent_pb2_grpc.AgentLinkStub(channel)
            call: Any = stub.Connect()
            await call.write(wire.encode_agent(self._hello()))
            welcome = await self._greeting(call)
            self._say(f"connected to {address}, token {welcome.token}", logging.INFO)
            self._resume(welcome)
            self._stub = stub if welcome.version >= _MODELS_SINCE else None
            self._inbox(welcome)
            ways = [self._receive(call), self._send(call)]
            if self._make_beat is not None and welcome.version >= _BEATS_SINCE:
                ways.append(self._beat(self._make_beat))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._swallow(way)) for way in ways]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
            raise done.pop().result()

    def _resume(self, welcome: Welcome) -> None:
        """Go on after what is stored.

        Where more is stored than was ever given, this spool is younger than the agent (a new disk,
        a clock that was wrong): what waits here has numbers of other batches.
        """
        stored = welcome.acknowledged
        if stored > self._outbox.highest:
            _log.warning("spool is new, but %d was acknowledged before; numbering on", stored)
            self._outbox.renumber(stored)
            self._older = self._outbox.highest
        self._outbox.ack(stored)
        self._acked, self._sent, self._progress = stored, stored, time.monotonic()
        self._copy_sent = 0

    async def _swallow(self, coroutine: Any) -> Exception:
        """Run one direction; its end is an answer, not an exception group."""
        try:
            await coroutine
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, WattcastError) as error:
            return error
        return Unreachable("the coordinator closed the stream")

    async def _greeting(self, call: Any) -> Welcome:
        try:
            first = await asyncio.wait_for(call.read(), _HANDSHAKE_REAL_S)
        except TimeoutError as error:
            raise Unreachable("no answer to the Hello") from error
        if first is grpc.aio.EOF:
            raise Unreachable(f"closed before a Welcome: {_brief(await call.details())}")
        message = wire.decode_coordinator(first)
        if isinstance(message, Rejected):
            raise Unreachable(f"rejected: {message.why}")
        if not isinstance(message, Welcome):
            raise DataError("the coordinator's first message is not a Welcome")
        return message

    async def _beat(self, beat: Callable[[], Beat]) -> None:
        while True:
            self.say(beat())
            await asyncio.sleep(_BEAT_REAL_S)

    async def _receive(self, call: Any) -> None:
        while (received := await call.read()) is not grpc.aio.EOF:
            message = wire.decode_coordinator(received)
            if isinstance(message, Copied):
                async with self._copied:
                    self._copied_number = max(self._copied_number, message.number)
                    self._copied.notify_all()
            else:
                self._take(message)
        code = await call.code()
        raise Unreachable(f"stream ended, {code.name}: {_brief(await call.details())}")

    def _take(self, message: Welcome | Ack | AtsCommand | Rejected | Lease | Champions) -> None:
        match message:
            case Ack(sequence) if sequence > self._sent:
                raise DataError(f"acknowledges {sequence}, but {self._sent} was the last sent")
            case Ack(sequence):
                self._outbox.ack(sequence)
                self._acked, self._progress = max(self._acked, sequence), time.monotonic()
                self._changed.set()
            case AtsCommand() | Welcome() | Lease() | Champions():
                self._inbox(message)
            case Rejected(why):
                raise Unreachable(f"rejected: {why}")
            case _:
                assert_never(message)

    async def _send(self, call: Any) -> None:
        backlog_end = self._outbox.highest
        flying: deque[int] = deque()
        while True:
            self._changed.clear()
            await self._send_first(call)
            while flying and flying[0] <= self._acked:
                flying.popleft()
            rows = self._next(backlog_end) if len(flying) < _IN_FLIGHT else []
            if rows:
                live = self._live(rows[0][0], backlog_end)
                if not flying:
                    self._progress = time.monotonic()
                self._sent = rows[-1][0]
                flying.append(self._sent)
                await call.write(codec.join(rows, live=live))
            else:
                await self._wait(waiting_for_ack=bool(flying))

    async def _send_first(self, call: Any) -> None:
        """What goes before batches, so that no backlog delays it."""
        while self._beats:
            await call.write(wire.encode_agent(self._beats.popleft()))
        if self._copy.number > self._copy_sent:
            self._copy_sent = self._copy.number
            await call.write(wire.encode_agent(self._copy))
        while self._results:
            await call.write(wire.encode_agent(self._results[0]))
            self._results.popleft()
        while self._reports and self._stub is not None:
            key, report = next(iter(self._reports.items()))
            await call.write(wire.encode_agent(report))
            if self._reports.get(key) is report:
                del self._reports[key]

    def _next(self, backlog_end: int) -> list[tuple[int, bytes]]:
        """Batches of the next message: alike in being live, and not too many bytes."""
        rows = self._outbox.pending(self._sent, _JOIN)
        if not rows or self._live(rows[0][0], backlog_end):
            return rows[:1]
        old = list(takewhile(lambda row: not self._live(row[0], backlog_end), rows))
        most = max(1, _MESSAGE_BYTES * len(old) // max(1, sum(len(body) for _, body in old)))
        return old[:most]

    def _live(self, sequence: int, backlog_end: int) -> bool:
        newest = sequence == self._outbox.highest and sequence > self._older
        return newest or sequence > backlog_end

    async def _wait(self, *, waiting_for_ack: bool) -> None:
        left = self._progress + _ACK_REAL_S - time.monotonic() if waiting_for_ack else None
        try:
            await asyncio.wait_for(self._changed.wait(), left)
        except TimeoutError as error:
            raise Unreachable(f"no acknowledgement for {_ACK_REAL_S:.0f} s") from error

    def _say(self, text: str, level: int = logging.WARNING) -> None:
        """Log a change of state, not every attempt."""
        if text != self._said:
            _log.log(level, "coordinator: %s", text)
        self._said = text


def _brief(text: str | None) -> str:
    return (text or "no details").splitlines()[0][:200]
