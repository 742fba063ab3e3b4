"""Keeps a copy of every champion's file at every coordinator, so that whoever leads has them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.models.record import ModelRecord, ModelState
from wattcast_coordinator.models.registry import read
from wattcast_core.errors import DataError, Unreachable, WattcastError

_log = logging.getLogger(__name__)
_EVERY_REAL_S = 30.0
_COPIED = (ModelState.CHAMPION, ModelState.RETIRED)  # a retired one may come back

Fetch = Callable[[str, str], AsyncIterator[bytes]]  # address, sha256
Others = Callable[[], Awaitable[tuple[str, ...]]]


class Replicas:
    """Looks into etcd now and then, and fetches what is not here."""

    def __init__(self, etcd: Etcd, others: Others, files: ModelFiles, fetch: Fetch) -> None:
        self._etcd, self._others, self._files, self._fetch = etcd, others, files, fetch
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until cancelled; what fails is tried again."""
        while True:
            try:
                await self.bring()
            except WattcastError as error:
                _log.warning("copies of models: %s", error)
            await asyncio.sleep(_EVERY_REAL_S)

    async def bring(self) -> tuple[ModelRecord, ...]:
        """Fetch what is missing; those that nobody has."""
        others = await self._others()
        records, _ = await read(self._etcd)
        missing = [
            record
            for record in records
            if record.state in _COPIED and self._files.path(record.sha256) is None
        ]
        left = [record for record in missing if not await self._bring(record, others)]
        for record in left:
            if record.sha256 not in self._told and record.state is ModelState.CHAMPION:
                self._told.add(record.sha256)
                _log.error(
                    "the file of champion %s of %s is at no coordinator: agents that lack it keep"
                    " what they have; remedy: add it again (wattcast train --promote FILE)",
                    record.id,
                    record.application,
                )
        return tuple(left)

    async def _bring(self, record: ModelRecord, others: tuple[str, ...]) -> bool:
        for address in others:
            try:
                content = await self._whole(address, record)
                await asyncio.to_thread(self._files.take, content, record.sha256)
            except (Unreachable, DataError) as error:
                _log.info("model %s: %s", record.id, error)
            else:
                _log.info("model %s of %s copied from %s", record.id, record.application, address)
                return True
        return False

    async def _whole(self, address: str, record: ModelRecord) -> bytes:
        content = bytearray()
        async with aclosing(self._fetch(address, record.sha256)) as pieces:  # type: ignore[type-var] # it is a generator
            async for piece in pieces:
                content += piece
                if len(content) > record.size:
                    raise DataError(f"{address}: longer than its {record.size} bytes")
        return bytes(content)
