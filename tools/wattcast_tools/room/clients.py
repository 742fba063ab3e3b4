"""Verifying users of the workloads: they write, read back, and count what fails or is lost.

example: python -m wattcast_tools.room.clients --targets FILE.json --report OUT.json --for 60
FILE.json maps workload -> base URL. OUT.json is renewed every second; ``lost_writes`` is null until
every acknowledged write has been read back at the end (SIGTERM, Ctrl-C or after ``--for`` seconds).
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from wattcast_tools.room.files import write_json

_CONNECTIONS = 3
_RATE = 15.0  # requests a second and workload
_PUT_SHARE = 0.3
_LARGE_SHARE, _LARGE_B, _SMALL_B = 0.05, 20_000, 300
_TIMEOUT_S = 15.0
_READ_TRIES = 3


class Link:
    """One keep-alive connection; reconnects when the other side has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request; status and body.

        Raises:
            OSError, EOFError, ValueError, TimeoutError: no proper response came.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._ask(method, path, body)
        except BaseException:
            self.close()
            raise

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = text.split("content-length:", 1)[1].split("\r\n", 1)[0]
        answer = await reader.readexactly(int(length))
        if "connection: close" in text:
            self.close()
        return int(text.split(" ", 2)[1]), answer

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Users:
    """The users of one workload.

    Attributes:
        acknowledged: ids whose PUT was answered with 2xx.
        lost: of these, not found with their body at the end; None until checked.
    """

    name: str
    url: str
    rng: np.random.Generator
    requests: int = 0
    failed: int = 0
    acknowledged: list[str] = field(default_factory=list)
    lost: int | None = None
    last_error: str = ""
    _sent: int = 0

    async def use(self, stop: asyncio.Event) -> None:
        """Send requests until told to stop."""
        link = Link(self.url)
        while not stop.is_set():
            pause_s = float(self.rng.exponential(_CONNECTIONS / _RATE))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(pause_s, 1.0))
                break
            await self._once(link)
        link.close()

    async def _once(self, link: Link) -> None:
        put = not self.acknowledged or self.rng.random() < _PUT_SHARE
        ident = self._fresh() if put else str(self.rng.choice(self.acknowledged[-500:]))
        self.requests += 1
        try:
            body = record(ident) if put else b""
            status, answer = await link.ask("PUT" if put else "GET", f"/records/{ident}", body)
        except (OSError, EOFError, ValueError, IndexError) as error:
            self._fail(f"{'PUT' if put else 'GET'} {ident}: {error!r}")
            return
        if not 200 <= status < 300:
            self._fail(f"{'PUT' if put else 'GET'} {ident}: status {status}")
        elif put:
            self.acknowledged.append(ident)
        elif answer != record(ident):
            self._fail(f"GET {ident}: came back changed")

    def _fail(self, why: str) -> None:
        self.failed += 1
        self.last_error = why

    async def verify(self) -> None:
        """Read every acknowledged write back; what cannot be read is lost."""
        link, lost = Link(self.url), 0
        for ident in self.acknowledged:
            lost += not await _readable(link, ident)
        link.close()
        self.lost = lost

    def report(self) -> dict[str, Any]:
        """The counters."""
        return {
            "requests": self.requests,
            "failed_requests": self.failed,
            "acknowledged_writes": len(self.acknowledged),
            "lost_writes": self.lost,
            "last_error": self.last_error,
        }

    def _fresh(self) -> str:
        self._sent += 1
        return f"{self.name}-{self._sent}"


async def _readable(link: Link, ident: str) -> bool:
    for _ in range(_READ_TRIES):
        with contextlib.suppress(OSError, EOFError, ValueError, IndexError):
            status, body = await link.ask("GET", f"/records/{ident}")
            if 200 <= status < 300:
                return body == record(ident)
            if status == 404:
                return False
        await asyncio.sleep(0.1)
    return False


def record(ident: str) -> bytes:
    """The body that belongs to an id; one in twenty is large."""
    digest = hashlib.sha256(ident.encode()).digest()
    size = _LARGE_B if digest[0] < 256 * _LARGE_SHARE else _SMALL_B
    block = digest.hex().encode()
    return (block * (size // len(block) + 1))[:size]


async def run(targets: dict[str, str], report: Path, for_s: float | None) -> None:
    """Use all targets until told to stop, then verify and report."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if for_s is not None:
        loop.call_later(for_s, stop.set)
    seeds = np.random.SeedSequence(7).spawn(len(targets))
    users = [
        Users(name, url, np.random.default_rng(seed))
        for (name, url), seed in zip(targets.items(), seeds, strict=True)
    ]
    tasks = [u.use(stop) for u in users for _ in range(_CONNECTIONS)]
    await asyncio.gather(*tasks, _report(users, report, stop))
    await asyncio.gather(*(u.verify() for u in users))
    _write(users, report)


async def _report(users: list[Users], path: Path, stop: asyncio.Event) -> None:
    while not stop.is_set():
        _write(users, path)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)


def _write(users: list[Users], path: Path) -> None:
    write_json(path, {u.name: u.report() for u in users})


def main() -> None:
    """Run the users."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=Path, required=True, help="workload -> base URL, JSON")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--for", dest="for_s", type=float, metavar="S", help="real seconds")
    args = parser.parse_args()
    asyncio.run(run(json.loads(args.targets.read_text()), args.report, args.for_s))


if __name__ == "__main__":
    main()
