"""All agents of the room in one process: the agent's own link, with a spool in memory.

After each reconnect an agent also sends its last batches again under new numbers, as one does whose
spool was restored from a copy: the store must know them by their rows.
"""

import argparse
import asyncio
import json
import logging
import signal
from collections import OrderedDict, deque

from wattcast_agent.discover.fixed import Fixed
from wattcast_agent.link import codec
from wattcast_agent.link.client import Link
from wattcast_core.commands import AtsCommand
from wattcast_core.messages import Champions, Hello, Lease, Welcome
from wattcast_tools.ingest.load import Agent, Room

_WAITING = 12  # batches kept ready to send
_AGAIN = 3  # batches sent again after a reconnect
_DRAIN_REAL_S = 60.0


class Outbox:
    """Batches in memory until they are acknowledged."""

    def __init__(self) -> None:
        self.highest = -1
        self._waiting: OrderedDict[int, tuple[int, bytes]] = OrderedDict()
        self._last: deque[tuple[int, bytes]] = deque(maxlen=_AGAIN)
        self.acked_step = -1

    def append(self, step: int, body: bytes) -> None:
        """Keep a batch that holds everything of a step."""
        self.highest += 1
        self._waiting[self.highest] = (step, body)

    def again(self) -> None:
        """Queue what was acknowledged last once more."""
        for step, body in tuple(self._last):
            self.append(step, body)

    def pending(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """See the link's Outbox."""
        found = [(number, body) for number, (_, body) in self._waiting.items() if number > after]
        return found[:limit]

    def ack(self, sequence: int) -> None:
        """See the link's Outbox."""
        while self._waiting and next(iter(self._waiting)) <= sequence:
            _, (step, body) = self._waiting.popitem(last=False)
            self._last.append((step, body))
            self.acked_step = max(self.acked_step, step)

    def renumber(self, after: int) -> None:
        """The coordinator knows more than was ever sent: that cannot be here."""
        raise AssertionError(f"acknowledged {after}, but only {self.highest} was sent")

    def __len__(self) -> int:
        return len(self._waiting)


class Sender:
    """One agent: fills its outbox as fast as it is emptied."""

    def __init__(self, room: Room, number: int, port: int, first_step: int) -> None:
        self.agent, self.outbox, self._step = Agent(room, number), Outbox(), first_step
        self._rack = room.rack(number)
        self.link = Link(self.outbox, Fixed(f"127.0.0.1:{port}"), self._hello, self._take)

    def fill(self) -> None:
        """Read the next steps."""
        while len(self.outbox) < _WAITING:
            self.outbox.append(self._step, codec.pack(self.agent.batch(self._step)))
            self._step += 1
        self.link.wake()

    def _hello(self) -> Hello:
        return Hello(self.agent.id, self._rack)

    def _take(self, message: AtsCommand | Welcome | Lease | Champions) -> None:
        if isinstance(message, Welcome):
            self.outbox.again()


async def _run(room: Room, port: int, first_step: int) -> dict[str, object]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    senders = [Sender(room, number, port, first_step) for number in range(room.racks)]
    links = [asyncio.create_task(sender.link.run()) for sender in senders]
    while not stop.is_set():
        for sender in senders:
            sender.fill()
        await asyncio.sleep(0.005)
    async with asyncio.timeout(_DRAIN_REAL_S):
        while any(len(sender.outbox) for sender in senders):  # noqa: ASYNC110 - one look at all
            await asyncio.sleep(0.02)
    for link in links:
        link.cancel()
    await asyncio.gather(*links, return_exceptions=True)
    return {"acked": {s.agent.id: s.outbox.acked_step for s in senders}}


def main() -> None:
    """Send until SIGTERM, wait for the last acknowledgements, print what was acknowledged."""
    parser = argparse.ArgumentParser()
    for name in ("--port", "--racks", "--servers", "--first-step"):
        parser.add_argument(name, type=int)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(json.dumps(asyncio.run(_run(Room(args.racks, args.servers), args.port, args.first_step))))


if __name__ == "__main__":
    main()
