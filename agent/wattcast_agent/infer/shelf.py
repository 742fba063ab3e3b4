"""The model files of an agent, and which of them serves: what survives a power cut at any moment.

``shelf.json`` is replaced whole (written beside, synced, renamed) and names files by their sha256.
A file gets that name only when it is complete, verified and synced, so whatever stands in
``shelf.json`` is there and right; what no entry names is rubbish of an interrupted step.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from wattcast_core.errors import DataError
from wattcast_core.models import Champion, ModelReport, Stage

_STARTS = 3  # of the agent that ended before a model on trial gave one answer
_FAILURES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Models of one application by sha256; empty: the agent's own.

    Attributes:
        serving: proven; ``kept``: the one that served before it.
        trial: serves while it is compared with ``serving``; empty: there is no trial.
        starts: of the agent with ``trial``, without a single answer of it so far.
    """

    serving: str = ""
    kept: str = ""
    trial: str = ""
    starts: int = 0


@dataclass(frozen=True, slots=True)
class _Contents:
    places: Mapping[str, Place] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, ModelReport] = field(default_factory=dict)  # by sha256


class Shelf:
    """A folder of models; one process uses it."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            DataError: the folder cannot be written.
        """
        self.folder, self._file = folder, folder / "shelf.json"
        self.problem = ""
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._now = self._load()

    @property
    def places(self) -> Mapping[str, Place]:
        """By application."""
        return self._now.places

    def id_of(self, sha256: str) -> str:
        """Name of a model; empty for the agent's own."""
        return self._now.ids.get(sha256, "")

    def failure(self, sha256: str) -> str:
        """Why a model is not taken again; empty if it may be."""
        report = self._now.failed.get(sha256)
        return report.why if report else ""

    def reports(self) -> list[ModelReport]:
        """What the coordinator shall know of all places and failures."""
        told = []
        for application, place in self._now.places.items():
            pairs = ((place.trial, Stage.TRIAL), (place.serving, Stage.SERVING))
            told += [
                ModelReport(application, self.id_of(sha), sha, stage) for sha, stage in pairs if sha
            ]
        return [*told, *self._now.failed.values()]

    # -- files

    def path(self, sha256: str) -> Path:
        """Where a model is, or will be."""
        return self.folder / f"{sha256}.tflite"

    def manifest(self, sha256: str) -> Path:
        """Its manifest, which says the sha256 that ``LiteRtModel`` verifies."""
        return self.folder / f"{sha256}.manifest.json"

    def has(self, sha256: str) -> bool:
        """Whether the file is there; its content is verified when it is loaded."""
        return self.path(sha256).is_file()

    def begun(self, sha256: str) -> int:
        """Bytes of an interrupted download."""
        part = self._part(sha256)
        return part.stat().st_size if part.is_file() else 0

    def add(self, champion: Champion, offset: int, content: bytes) -> int:
        """Append a piece to a download; how many bytes it has then.

        Raises:
            DataError: it is longer than the champion's file, or cannot be written.
        """
        end = offset + len(content)
        if end > champion.size:
            self.drop(champion.sha256)
            raise DataError(f"the file is longer than its {champion.size} bytes")
        with self._explained(), self._part(champion.sha256).open("ab") as file:
            file.truncate(offset)
            file.write(content)
        return end

    def finish(self, champion: Champion) -> None:
        """Take a download in: complete, the right hash, on disk, then under its name.

        Raises:
            DataError: cut off, or another file; the download is thrown away if it is wrong.
        """
        part, sha = self._part(champion.sha256), champion.sha256
        size = self.begun(sha)
        if size < champion.size:
            raise DataError(f"cut off: {size} of {champion.size} bytes came")
        with self._explained():
            with part.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            if actual != sha:
                part.unlink()
                raise DataError(f"sha256 of what came is {actual[:12]}, not {sha[:12]}")
            _replace(self.manifest(sha), json.dumps({"sha256": sha, "id": champion.id}))
            part.replace(self.path(sha))
            _sync(self.folder)
        self._write(replace(self._now, ids={**self._now.ids, sha: champion.id}))

    def drop(self, sha256: str) -> None:
        """Throw a file or a download away."""
        with self._explained():
            for path in (self._part(sha256), self.path(sha256), self.manifest(sha256)):
                path.unlink(missing_ok=True)

    # -- which serves

    def try_out(self, application: str, sha256: str) -> None:
        """From now on a model is on trial."""
        place = self._now.places.get(application, Place())
        self._put(application, replace(place, trial=sha256, starts=0))

    def start(self, application: str) -> bool:
        """The model on trial is about to be used; False if it seems to end the agent each time."""
        place = self._now.places[application]
        if place.starts >= _STARTS:
            return False
        self._put(application, replace(place, starts=place.starts + 1))
        return True

    def survived(self, application: str) -> None:
        """The model on trial gave an answer, and the agent lives."""
        place = self._now.places[application]
        if place.starts:
            self._put(application, replace(place, starts=0))

    def prove(self, application: str) -> None:
        """The model on trial serves; the one before is kept."""
        place = self._now.places[application]
        self._put(application, Place(place.trial, kept=place.serving))

    def serve(self, application: str, sha256: str) -> None:
        """A model that was proven before serves again, without a trial."""
        self._put(application, Place(sha256))

    def fail(self, report: ModelReport) -> None:
        """A model is not taken again; where it served, the one before does."""
        kept = [*self._now.failed.items(), (report.sha256, report)]
        places = {name: _without(place, report.sha256) for name, place in self._now.places.items()}
        self._write(replace(self._now, places=places, failed=dict(kept[-_FAILURES_KEPT:])))

    def vacate(self, application: str) -> None:
        """An application has no champion any more."""
        places = {k: place for k, place in self._now.places.items() if k != application}
        self._write(replace(self._now, places=places))

    def clean(self, wanted: Iterable[str]) -> None:
        """Delete what neither a place names nor is ``wanted``."""
        used = {sha for p in self._now.places.values() for sha in (p.serving, p.kept, p.trial)}
        used.update(wanted)
        with self._explained():
            for path in self.folder.iterdir():
                if path != self._file and path.name.partition(".")[0] not in used:
                    path.unlink(missing_ok=True)

    def _put(self, application: str, place: Place) -> None:
        self._write(replace(self._now, places={**self._now.places, application: place}))

    def _write(self, contents: _Contents) -> None:
        known = {sha for p in contents.places.values() for sha in (p.serving, p.kept, p.trial)}
        known |= contents.failed.keys()
        ids = {s: name for s, name in contents.ids.items() if s in known or self.has(s)}
        contents = replace(contents, ids=ids)
        with self._explained():
            _replace(self._file, json.dumps(asdict(contents), indent=1))
        self._now = contents

    def _load(self) -> _Contents:
        try:
            raw = json.loads(self._file.read_text(encoding="utf-8"))
            places = {name: Place(**place) for name, place in raw["places"].items()}
            failed = {
                sha: ModelReport(**{**report, "stage": Stage(report["stage"])})
                for sha, report in raw["failed"].items()
            }
            return _Contents(places, dict(raw["ids"]), failed)
        except FileNotFoundError:
            return _Contents()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem = f"{self._file}: damaged ({error}); the agent's own model serves"
            return _Contents()

    def _part(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.part"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{error.filename or self.folder}: {error.strerror}; remedy: make room on the disk,"
                " or look at its permissions"
            ) from error


def _without(place: Place, sha256: str) -> Place:
    if sha256 == place.trial:
        return replace(place, trial="", starts=0)
    if sha256 == place.serving:
        return Place(place.kept)
    return replace(place, kept="") if sha256 == place.kept else place


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, and on disk."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
