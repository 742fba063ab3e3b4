"""What is known of one model, and how champions change. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from wattcast_core.errors import Refused
from wattcast_core.models import Champion


class ModelState(StrEnum):
    """Where a model stands; there is at most one champion an application."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    RETIRED = "retired"  # a better one took its place
    ROLLED_BACK = "rolled_back"  # it was champion, and failed


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model of one application.

    Attributes:
        application: its name, or ``models.ALL``.
        id: the model's name.
        sha256: of its file.
        size: of its file, bytes.
        schema: of its inputs.
        trained_at: as its metadata say.
        state: where it stands.
        since: data time of that state, ISO 8601.
        why: of that state, for an operator.
        scores: what the back-test said.
    """

    application: str
    id: str
    sha256: str
    size: int
    schema: int
    trained_at: str = ""
    state: ModelState = ModelState.CANDIDATE
    since: str = ""
    why: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def champion(self) -> Champion:
        """As agents are told of it."""
        return Champion(self.application, self.id, self.sha256, self.size, self.schema)


Changes = tuple[ModelRecord, ...]
KEPT = 8  # models of an application beside its champion; older ones are forgotten


def champion_of(records: Iterable[ModelRecord], application: str) -> ModelRecord | None:
    """The champion of an application, if it has one."""
    mine = (r for r in records if r.application == application)
    return next((r for r in mine if r.state is ModelState.CHAMPION), None)


def surplus(records: Iterable[ModelRecord], application: str) -> Changes:
    """The oldest models of an application, beyond KEPT and its champion."""
    others = [
        r for r in records if r.application == application and r.state is not ModelState.CHAMPION
    ]
    return tuple(sorted(others, key=lambda r: r.since, reverse=True)[KEPT:])


def promoted(records: Iterable[ModelRecord], new: ModelRecord, at: str, why: str) -> Changes:
    """The records that change when a model becomes champion.

    Raises:
        Refused: it is champion already.
    """
    old = champion_of(records, new.application)
    if old is not None and old.sha256 == new.sha256:
        raise Refused(f"{new.id} is the champion of {new.application} already")
    champion = replace(new, state=ModelState.CHAMPION, since=at, why=why)
    if old is None:
        return (champion,)
    retired = replace(old, state=ModelState.RETIRED, since=at, why=f"{new.id} took its place")
    return (retired, champion)


def rolled_back(records: Iterable[ModelRecord], application: str, at: str, why: str) -> Changes:
    """The records that change when a champion is withdrawn: the one before comes back, if any.

    Raises:
        Refused: there is no champion.
    """
    records = tuple(records)
    failed = champion_of(records, application)
    if failed is None:
        raise Refused(f"application '{application}' has no champion; agents serve their own model")
    gone = replace(failed, state=ModelState.ROLLED_BACK, since=at, why=why)
    before = [r for r in records if r.application == application and r.state is ModelState.RETIRED]
    if not before:
        return (gone,)
    last = max(before, key=lambda r: r.since)
    return (gone, replace(last, state=ModelState.CHAMPION, since=at, why=f"{failed.id} failed"))
