"""Waiting for something to become true at a peer."""

import asyncio
from collections.abc import Awaitable, Callable

from wattcast_core.errors import Unreachable


async def until(
    check: Callable[[], Awaitable[bool]], patience_s: float, what: str, every_s: float = 0.01
) -> None:
    """Return when ``check`` says yes; Unreachable with ``what`` after ``patience_s``.

    A peer that is unreachable meanwhile counts as a no: it may just be starting.
    """
    try:
        async with asyncio.timeout(patience_s):
            while not await _holds(check):  # noqa: ASYNC110 - the peer is another process: no event
                await asyncio.sleep(every_s)
    except TimeoutError as error:
        raise Unreachable(f"{what} (waited {patience_s:g} s)") from error


async def _holds(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await check()
    except Unreachable:
        return False
