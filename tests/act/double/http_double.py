"""A small HTTP/1.1 server with keep-alive for the engine double."""

import asyncio
import json
from collections.abc import Awaitable, Callable

Handler = Callable[[str, str, bytes], Awaitable[tuple[int, bytes]]]


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            names = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(names.get("content-length", 0)))
            status, answer = await handle(method, path, body)
            close = "connection: close\r\n" if status == 503 else ""
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\n{close}\r\n".encode()
                + answer
            )
            await writer.drain()
            if close:
                return
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def serve(host: str, port: int, handle: Handler) -> asyncio.Server:
    return await asyncio.start_server(
        lambda r, w: _converse(r, w, handle), host, port, backlog=1024
    )


def as_json(content: object) -> bytes:
    return json.dumps(content).encode()
