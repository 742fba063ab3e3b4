"""What a forecaster has seen and learned; kept in a file, so that a restart does not lose it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from wattcast_agent.forecast.trail import Trail
from wattcast_core.errors import DataError
from wattcast_core.signal.choice import KINDS
from wattcast_core.signal.history import History


@dataclass(slots=True)
class Past:
    """Rows are servers.

    Attributes:
        servers: row of each server.
        history: a week of power.
        trail: margins and trailing losses. The forecasts that still are to be judged are not kept:
            an hour of them is lost in a restart.
    """

    servers: dict[str, int] = field(default_factory=dict)
    history: History = field(default_factory=History)
    trail: Trail = field(default_factory=Trail)


def dump(past: Past) -> bytes:
    """As the content of a file."""
    file = io.BytesIO()
    arrays = {name: getattr(of, key) for name, of, key in _places(past)}
    end_s, servers = np.array(past.history.end_s), np.array(list(past.servers), np.str_)
    np.savez(file, allow_pickle=False, servers=servers, end_s=end_s, **arrays)
    return file.getvalue()


def load(content: bytes) -> Past:
    """From the content of a file.

    Raises:
        DataError: cut off, or of another version.
    """
    past = Past()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            past.servers = {str(name): row for row, name in enumerate(file["servers"])}
            past.history.end_s = float(file["end_s"])
            for name, of, key in _places(past):
                setattr(of, key, _alike(file[name], getattr(of, key), len(past.servers)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"what was kept cannot be used ({error}): starting anew") from error
    return past


def _places(past: Past) -> Iterator[tuple[str, object, str]]:
    """Name in the file, object and attribute of each array."""
    yield "power_w", past.history, "power_w"
    for kind, margins in zip(KINDS, past.trail.margins, strict=True):
        for key in ("own", "common", "count", "usual_w", "covered"):
            yield f"{kind}_{key}", margins, key
    for key in ("loss_w", "count"):
        yield f"record_{key}", past.trail.record, key


def _alike(kept: NDArray[np.generic], empty: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    """What was kept, if it has the shape of an empty one with at most so many rows.

    Raises:
        ValueError: it has not.
    """
    fits = kept.ndim == empty.ndim and all(
        a == b or (b == 0 and a <= rows) for a, b in zip(kept.shape, empty.shape, strict=True)
    )
    if not fits or kept.dtype != empty.dtype:
        raise ValueError(f"{kept.shape} {kept.dtype}")
    return kept
