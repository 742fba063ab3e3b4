"""The file of a champion onto the shelf, and from there into a model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from wattcast_agent.infer.guard import Guarded, guarded, probe
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_agent.infer.shelf import Shelf
from wattcast_core.errors import DataError
from wattcast_core.models import Champion
from wattcast_core.signal.features import VERSION
from wattcast_core.signal.probe import disagreement, probe_input

Source = Callable[[str, int], AsyncIterator[bytes]]  # sha256, offset


async def download(shelf: Shelf, champion: Champion, source: Source) -> None:
    """Have the whole, verified file on the shelf; goes on where an earlier try stopped.

    Raises:
        DataError: cut off, too long, another hash or schema, or the disk is full.
        Unreachable: the coordinator went away; what came is kept for the next try.
    """
    if champion.schema != VERSION:
        raise DataError(
            f"made for schema {champion.schema}, this agent runs {VERSION}; remedy: run the same"
            " version of Wattcast at agent and coordinator, and train again"
        )
    if shelf.has(champion.sha256):
        return
    end = shelf.begun(champion.sha256)
    async with aclosing(source(champion.sha256, end)) as pieces:  # type: ignore[type-var] # it is a generator
        async for piece in pieces:
            end = shelf.add(champion, end, piece)
    await asyncio.to_thread(shelf.finish, champion)


def load(shelf: Shelf, sha256: str, *, probing: bool) -> Guarded:
    """A model of the shelf, ready to be asked.

    Args:
        shelf: where it is.
        sha256: of it.
        probing: let it forecast for made-up servers first, which takes a moment, and compare its
            answer with the one where it was trained.

    Raises:
        DataError: the file is damaged, made for other inputs, or the model fails its probe.
        MissingExtraError: no runtime is installed.
    """
    model = LiteRtModel(shelf.path(sha256), shelf.manifest(sha256))
    if probing:
        probe(guarded(model))
        if why := disagreement(model.metadata, model.predict(probe_input())):
            raise DataError(f"probe: {model.id} {why}; remedy: train it again (wattcast train)")
    return guarded(model)
