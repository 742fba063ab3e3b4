"""One instance of a stateful HTTP application: ``python -m wattcast_tools.room.workload DIR``.

Prints ``port N`` when it listens. PUT and GET /records/{id}, GET /records, GET /health, and for a
migration POST /control/quiesce, /control/release and /control/reload. SIGTERM drains.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from wattcast_tools.room.httpd import HttpServer, Request, Response, answer
from wattcast_tools.room.journal import Journal

_PR_SET_PDEATHSIG = 1
_SYNC_S = 0.5
_DRAIN_S = 3.0
_MOVED = Response(503, b"moved", close=True)


class Gate:
    """Holds requests while the instance is quiesced, under a lease that ends by itself."""

    def __init__(self) -> None:
        self.generation = 0
        self.released = False
        self.in_flight = 0
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()
        self._lapse: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        """Whether the lease is running."""
        return self._lapse is not None

    def state(self) -> dict[str, float | bool]:
        """The gate as who migrates the instance sees it."""
        left_s = 0.0
        if self._lapse is not None:
            left_s = max(0.0, self._lapse.when() - asyncio.get_running_loop().time())
        return {
            "generation": self.generation,
            "quiesced": self.held,
            "lease_remaining_s": left_s,
            "released": self.released,
            "inflight": self.in_flight,
        }

    def hold(self, lease_s: float) -> int:
        """Hold new requests; a second call renews the lease. The generation of the lease."""
        if self._lapse is None:
            self.generation += 1
            self.released = False
        else:
            self._lapse.cancel()
        self._open.clear()
        self._lapse = asyncio.get_running_loop().call_later(lease_s, self._resume)
        return self.generation

    def release(self, generation: int) -> bool:
        """Send what is held, and what comes later, elsewhere; False if the lease has lapsed."""
        if generation != self.generation or not (self.held or self.released):
            return False
        self.released = True
        self._resume()
        return True

    async def enter(self) -> bool:
        """Wait until open; False if the instance has been released. Counts as in flight if True."""
        while not self._open.is_set():  # a new lease may begin before the waiter wakes
            await self._open.wait()
        if self.released:
            return False
        self.in_flight += 1
        self._idle.clear()
        return True

    def leave(self) -> None:
        """A request that entered is done."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight (held requests are not)."""
        await self._idle.wait()

    def _resume(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        self._open.set()


class Application:
    """Serves records from the journal."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.gate = Gate()
        self.draining = False

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/health":
            ready = not (self.draining or self.gate.released)
            return answer({"ready": ready}, 200 if ready else 503)
        if request.path == "/control/state":
            return answer({**self.gate.state(), "records": len(self.journal)})
        if request.path.startswith("/control/") and request.method == "POST":
            return await self._control(request)
        if not await self.gate.enter():
            return _MOVED
        try:
            response = self._records(request)
        finally:
            self.gate.leave()
        # A draining instance lets its connections go, so that the next request comes elsewhere.
        return response if not self.draining else _closing(response)

    def _records(self, request: Request) -> Response:
        head, _, ident = request.path.lstrip("/").partition("/")
        if head != "records":
            return answer({"error": "know only /records"}, 404)
        if not ident:
            return answer(self.journal.ids())
        if request.method == "PUT":
            self.journal.put(ident, request.body)
            return answer({"id": ident})
        body = self.journal.get(ident)
        return answer({"error": f"no record {ident}"}, 404) if body is None else Response(body=body)

    async def _control(self, request: Request) -> Response:
        order = request.path.removeprefix("/control/")
        if order == "reload":
            return answer({"records": self.journal.reload()})
        if order == "quiesce":
            generation = self.gate.hold(float(request.json().get("lease_s", 10.0)))
            await self.gate.idle()
            return answer({"generation": generation, "records": len(self.journal)})
        if order == "release":
            done = self.gate.release(int(request.json()["generation"]))
            return answer({"released": done}, 200 if done else 409)
        return answer({"error": "know quiesce, release, reload"}, 404)


def _closing(response: Response) -> Response:
    return Response(response.status, response.body, response.type, close=True)


async def serve(folder: Path) -> None:
    """Serve until SIGTERM, then drain."""
    application = Application(folder)
    server = HttpServer(application.handle)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"port {await server.start()}", flush=True)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SYNC_S)
        application.journal.sync()
    application.draining = True
    server.stop_listening()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(application.gate.idle(), _DRAIN_S)
    await server.close()
    application.journal.close()


def _die_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) for SIGKILL when the room dies, and check that it has not yet."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the room has gone")


def main() -> None:
    """Run one instance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="state directory")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to die with")
    args = parser.parse_args()
    _die_with_parent(args.parent)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(args.folder))


if __name__ == "__main__":
    main()
