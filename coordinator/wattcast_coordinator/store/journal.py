"""Events and audit on their way into the database: in order, none waited for, none lost early."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from wattcast_core.errors import StoreUnavailable

_log = logging.getLogger(__name__)
_MOST = 10_000
_AGAIN_REAL_S = 0.5
_CLOSE_REAL_S = 2.0


class Journal:
    """Work for the thread that writes; while the database is away it is kept, the oldest first.

    Nobody waits for it: what is decided must not hang on a database.
    """

    def __init__(self, writer: Executor) -> None:
        self._writer, self._waiting = writer, deque[Callable[[], None]](maxlen=_MOST)
        self._task: asyncio.Task[None] | None = None

    def add(self, work: Callable[[], None]) -> None:
        """Do this after what was added before; beyond 10,000 the oldest is given up."""
        self._waiting.append(work)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Finish, unless the database is away."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_REAL_S)
            self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            work = self._waiting[0]
            try:
                await loop.run_in_executor(self._writer, work)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_REAL_S)
                continue
            except Exception:  # noqa: BLE001 - one entry must not bar those after it
                _log.exception("an event or audit entry was not stored")
            if self._waiting and self._waiting[0] is work:
                self._waiting.popleft()
