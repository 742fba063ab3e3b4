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
        path = self._file(sha256)
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
        self._write(content, sha256)
        return record

    def take(self, content: bytes, sha256: str) -> None:
        """Keep a copy of another coordinator's file.

        Raises:
            DataError: it is another file, or cannot be written.
        """
        if (actual := hashlib.sha256(content).hexdigest()) != sha256:
            raise DataError(f"sha256 of what came is {actual[:12]}, not {sha256[:12]}")
        self._write(content, sha256)

    def discard(self, sha256: str) -> None:
        """Delete a file; idempotent.

        Raises:
            DataError: it cannot be deleted.
        """
        try:
            self._file(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be deleted ({error.strerror})") from error

    def read(self, sha256: str, offset: int) -> Iterator[bytes]:
        """Pieces of a file from an offset on.

        Raises:
            DataError: it is not here, or cannot be read.
        """
        path = self.path(sha256)
        if path is None:
            raise DataError(
                f"model {sha256[:12]} is not kept at this coordinator; remedy: add it again"
                " (wattcast train --promote FILE)"
            )
        try:
            with path.open("rb") as file:
                file.seek(offset)
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def _file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.tflite"

    def _write(self, content: bytes, sha256: str) -> None:
        path = self._file(sha256)
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
