"""The coordinator's way from the agents into the store, as a process of its own; may be killed.

It has the coordinator's own gRPC server, handler, board and store, without etcd and decisions. In
between it asks what a dashboard asks, and prints how long each answer took (JSON lines).
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from datetime import timedelta

from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.ports import RaiseEvent
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.store.open import open_store
from wattcast_coordinator.store.queue import AsyncStore
from wattcast_core.clock import DataClock, Segment
from wattcast_core.messages import Hello
from wattcast_tools.ingest.load import START, Room

_QUERY_REAL_S = 0.25
_ROLL_REAL_S = 2.0
_AHEAD_S = 30 * 86_400.0  # data runs many times faster than the clock here


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--port", type=int)
    parser.add_argument("--racks", type=int)
    parser.add_argument("--servers", type=int)
    args = parser.parse_args()
    asyncio.run(_serve(args.url, args.port, Room(args.racks, args.servers)))


async def _serve(url: str, port: int, room: Room) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store, board = AsyncStore(open_store(url)), Board()
    clock = DataClock((Segment(time.time(), START.timestamp(), 1.0),))
    handler = Handler(store, board, clock, room.site(), lambda: 1, _AHEAD_S)
    handler.joined, handler.tell = _joined, _tell
    server = AgentServer(handler)
    await server.start(f"127.0.0.1:{port}")
    _say({"ready": True})
    tasks = [
        asyncio.create_task(work) for work in (_ask(store, board, room), _roll_up(store, board))
    ]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.stop()
    await store.close()


async def _ask(store: AsyncStore, board: Board, room: Room) -> None:
    """Take turns: the last hour of a server, all feeds of a day by minute."""
    turn = 0
    while True:
        await asyncio.sleep(_QUERY_REAL_S)
        if not board.signatures:
            continue
        name = room.names(turn % room.racks)[turn % room.servers]
        newest = max(s.at for s in board.signatures.values())
        began = time.perf_counter()
        if turn % 2:
            rows = sum(len(f.at_ms) for f in await store.feeds(newest - timedelta(hours=24)))
        else:
            rows = len(await store.history(name, newest - timedelta(hours=1)))
        took_ms = 1000 * (time.perf_counter() - began)
        _say({"query": ("history", "feeds")[turn % 2], "rows": rows, "ms": took_ms})
        turn += 1


async def _roll_up(store: AsyncStore, board: Board) -> None:
    while True:
        await asyncio.sleep(_ROLL_REAL_S)
        if board.signatures:
            await store.roll_up(max(s.at for s in board.signatures.values()))


async def _joined(_hello: Hello) -> None:
    """There is no registry here."""


async def _tell(event: RaiseEvent) -> None:
    print(event.text, file=sys.stderr)


def _say(fact: dict[str, object]) -> None:
    print(json.dumps(fact), flush=True)


if __name__ == "__main__":
    main()
