"""The files of models, in a folder, under the sha256 of their content."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from wattcast_coordinator.models.record import ModelRecord
from wattcast_core.errors import DataError
from wattcast_core.models import MOST_BYTES
from wattcast_core.signal.model_file import described

CHUNK_BYTES = 64 << 10


class ModelFiles:
    """Content-addressed: a name tells what is in the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path | None:
        """The file of a model; None if it is not kept here."""
        path = self._folder / f"{sha256}.tflite"
        return path if sha256.isalnum() and path.is_file() else None

    def add(self, content: bytes, application: str) -> ModelRecord:
        """Keep a model's file, on disk when this returns; what it says of itself.

        Raises:
            DataError: it is no model, cut off, made for other inputs, or too large.
        """
        if len(content) > MOST_BYTES:
            raise DataError(f"{len(content)} bytes; a model has {MOST_BYTES} at most")
        about = described(content, "the model's file")
        sha256 = hashlib.sha256(content).hexdigest()
        record = ModelRecord(
            application,
            str(about.get("id", sha256[:12])),
            sha256,
            len(content),
            int(about["schema"]),
            str(about.get("trained_at", "")),
        )
        record.champion  # noqa: B018 - raises on a size or name that cannot be
        self._write(self._folder / f"{sha256}.tflite", content)
        return record

    def read(self, sha256: str, offset: int) -> Iterator[bytes]:
        """Pieces of a file from an offset on.

        Raises:
            DataError: it is not here, or cannot be read.
        """
        path = self.path(sha256)
        if path is None:
            raise DataError(
                f"model {sha256[:12]} is not kept at this coordinator; remedy: promote it again"
                " here, with its folder (wattcast train --promote DIR)"
            )
        try:
            with path.open("rb") as file:
                file.seek(offset)
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def _write(self, path: Path, content: bytes) -> None:
        beside = path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
