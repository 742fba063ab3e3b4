"""The forecaster's past as a file in the agent's state folder."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from wattcast_agent.forecast import past
from wattcast_agent.forecast.past import Past
from wattcast_core.errors import DataError

_log = logging.getLogger("wattcast.agent")
FILE = "forecast.npz"
_EVERY_REAL_S = 3600.0  # some 400 kB a rack


def read(state_dir: Path) -> Past:
    """What was kept; an empty past where nothing usable was."""
    path = state_dir / FILE
    try:
        return past.load(path.read_bytes()) if path.is_file() else Past()
    except (OSError, DataError) as error:
        _log.warning("%s: %s", path, error)
        return Past()


def write(state_dir: Path, of: Past) -> None:
    """Keep it: the old file or the new one, never half of one. A full disk is told, not raised."""
    path, draft = state_dir / FILE, state_dir / f"{FILE}.part"
    try:
        with draft.open("wb") as file:
            file.write(past.dump(of))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        _log.warning("%s: not kept (%s)", path, error.strerror)


@asynccontextmanager
async def kept(state_dir: Path, newest: Callable[[], Past]) -> AsyncIterator[None]:
    """Write it every hour and at the end."""

    async def hourly() -> None:
        while True:
            await asyncio.sleep(_EVERY_REAL_S)
            write(state_dir, newest())

    task = asyncio.create_task(hourly())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        write(state_dir, newest())
