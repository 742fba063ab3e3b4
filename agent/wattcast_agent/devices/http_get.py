"""GET over kept-alive HTTP/1.1 connections; h11 does the protocol.

httpx would do as well, but costs an edge box 11 MB, which is more than all that is read with it.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult

import h11

_MOST_BYTES = 8 * 1024 * 1024  # of a body: a page of metrics has some 100 kB
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """Status and body of an answer."""

    status: int
    body: bytes


@dataclass(eq=False, slots=True)
class Connection:
    """One connection to one server, made when needed and kept while both sides allow."""

    host: str
    port: int
    tls: bool = False
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    @classmethod
    def to(cls, url: SplitResult) -> "Connection":
        """A connection to where an ``http`` or ``https`` address points."""
        tls = url.scheme == "https"
        return cls(url.hostname or "", url.port or (443 if tls else 80), tls)

    async def get(self, target: str) -> Response:
        """One GET; once more on a new connection if the server had closed the kept one.

        Raises:
            OSError: no connection, or it broke.
            h11.ProtocolError: the answer is not HTTP.
        """
        kept = self._writer is not None
        try:
            return await self._exchange(target)
        except (OSError, h11.RemoteProtocolError):
            if not kept:
                raise
        return await self._exchange(target)

    def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, target: str) -> Response:
        finished = False
        try:
            await self._connect()
            await self._send(target)
            response = await self._receive()
            finished = self._state.our_state is self._state.their_state is h11.DONE
            return response
        finally:
            if finished:
                self._state.start_next_cycle()
            else:
                self.close()

    async def _connect(self) -> None:
        if self._writer is None:
            context = ssl.create_default_context() if self.tls else None
            streams = await asyncio.open_connection(self.host, self.port, ssl=context)
            self._reader, self._writer = streams
            self._state = h11.Connection(h11.CLIENT)

    async def _send(self, target: str) -> None:
        headers = [("host", f"{self.host}:{self.port}"), ("accept-encoding", "identity")]
        request = h11.Request(method="GET", target=target, headers=headers)
        data = (self._state.send(request) or b"") + (self._state.send(h11.EndOfMessage()) or b"")
        if self._writer is not None:
            self._writer.write(data)
            await self._writer.drain()

    async def _receive(self) -> Response:
        status, body = 0, bytearray()
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _MOST_BYTES:
                    raise h11.RemoteProtocolError(f"body of more than {_MOST_BYTES} bytes")
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed before an answer")
        return Response(status, bytes(body))

    async def _event(self) -> object:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(_CHUNK) if self._reader is not None else b""
            self._state.receive_data(data)
        return event
