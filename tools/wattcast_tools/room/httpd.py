"""A small HTTP/1.1 server for the room's endpoints: keep-alive, Content-Length bodies."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HOST = "127.0.0.1"
_MAX_BODY = 1 << 20
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 409: "Conflict"}
_REASONS |= {413: "Content Too Large", 500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Request:
    """One request; the path is unquoted and without the query."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object (ValueError if it is none; empty body: empty object)."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")  # noqa: TRY004 - a 400, like bad JSON
        return value


@dataclass(frozen=True)
class Response:
    """One response; ``close`` also ends the connection and says so."""

    status: int = 200
    body: bytes = b""
    type: str = "application/octet-stream"
    close: bool = False


Handler = Callable[[Request], Awaitable[Response]]


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(status, json.dumps(value).encode(), "application/json")


class HttpServer:
    """Serves one handler; ``port`` is known after ``start``."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; 0 takes a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, port, backlog=512)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._server is not None

    def stop_listening(self) -> None:
        """Refuse new connections; those that stand go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Refuse new connections and drop those that stand."""
        self.stop_listening()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the peer left, or speaks no HTTP
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its response; whether the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, _, rest = head.partition("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in _pairs(rest)}
        length = int(headers.get("content-length", "0"))
        if length > _MAX_BODY:
            writer.write(_wire(Response(413, close=True), close=True))
            return False
        body = await reader.readexactly(length) if length else b""
        method, target, _ = first.split(" ", 2)
        parts = urlsplit(target)
        request = Request(method, unquote(parts.path), dict(parse_qsl(parts.query)), body)
        response = await self._safe(request)
        close = response.close or headers.get("connection", "").lower() == "close"
        writer.write(_wire(response, close=close))
        await writer.drain()
        return not close

    async def _safe(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except ValueError as error:
            return answer({"error": str(error)}, 400)
        except KeyError as error:
            return answer({"error": f"no such thing: {error}"}, 404)
        except OSError as error:
            return answer({"error": str(error)}, 500)


def _pairs(text: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in text.split("\r\n") if line]


def _wire(response: Response, *, close: bool) -> bytes:
    reason = _REASONS.get(response.status, "Unknown")
    head = (
        f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
    )
    return (head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + response.body
