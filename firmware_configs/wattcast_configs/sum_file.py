"""The network of sums as a file: its weights by name, in numpy's own format."""

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from wattcast_core.errors import DataError
from wattcast_core.signal.sums import SumNetwork

_REMEDY = "remedy: fit it again (wattcast backtest --fit-dir, wattcast train)"


def write_sums(path: Path, sums: SumNetwork) -> None:
    """Write the weights."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **sums.arrays())


def read_sums(path: Path) -> SumNetwork:
    """Read the weights.

    Raises:
        DataError: missing, cut off, or of another shape.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return SumNetwork(**{name: np.asarray(file[name], np.float32) for name in file})
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not a network of sums ({error}); {_REMEDY}") from error
