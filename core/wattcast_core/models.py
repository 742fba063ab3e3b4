"""Forecast models as agents and coordinator speak of them: by the sha256 of their file."""

import re
from dataclasses import dataclass
from enum import StrEnum

from wattcast_core.errors import DataError

MOST_BYTES = 64 << 20  # of a model's file; it must fit on an edge box
_SHA256 = re.compile("[0-9a-f]{64}")

ALL = "*"  # in an application's place: every server whose application has no model of its own


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that shall forecast the servers of an application.

    Attributes:
        application: its name, or ALL.
        id: the model's name.
        sha256: of the whole file, hexadecimal.
        size: of the file, bytes.
        schema: of the model's inputs and outputs.
    """

    application: str
    id: str
    sha256: str
    size: int
    schema: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):  # it becomes the name of a file
            raise DataError(f"model {self.id}: '{self.sha256}' is no sha256")
        if not (self.application and 0 < self.size <= MOST_BYTES):
            raise DataError(f"model {self.id}: application '{self.application}', {self.size} bytes")


class Stage(StrEnum):
    """What became of a champion at an agent; the last three mean that it goes on without it."""

    TRIAL = "trial"  # it serves, and the one before runs beside it
    SERVING = "serving"
    REFUSED = "refused"  # never served: cut off, another hash or schema, or it failed its probe
    DEFECT = "defect"  # served, then failed or answered with what is no number
    WORSE = "worse"  # served, and lost more than the one before


FAILED = frozenset({Stage.REFUSED, Stage.DEFECT, Stage.WORSE})


@dataclass(frozen=True, slots=True)
class ModelReport:
    """An agent's word on one of its champions; ``why`` is for an operator."""

    application: str
    id: str
    sha256: str
    stage: Stage
    why: str = ""
