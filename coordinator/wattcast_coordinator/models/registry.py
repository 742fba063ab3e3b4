"""Models in etcd, under the leader's fencing token.

``etcdctl get --prefix /wattcast/models/`` shows them as JSON, one key a model and application.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from urllib.parse import quote

from wattcast_coordinator.coord.election import Leadership
from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.models.record import ModelRecord, ModelState
from wattcast_core.errors import DataError, Refused

PREFIX = "/wattcast/models/"


async def read(etcd: Etcd) -> tuple[tuple[ModelRecord, ...], tuple[str, ...]]:
    """All models, and what is wrong with damaged records; any coordinator may ask."""
    records, problems = [], []
    for kv in await etcd.list(PREFIX):
        try:
            records.append(_load(kv.key, kv.value))
        except DataError as error:
            problems.append(str(error))
    return tuple(records), tuple(problems)


class ModelRegistry:
    """All models of a term; in memory and in etcd."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._records: dict[tuple[str, str], ModelRecord] = {}

    async def load(self) -> tuple[str, ...]:
        """Take what earlier terms wrote; what is wrong with damaged records."""
        records, problems = await read(self._leadership.etcd)
        self._records = {_place(record): record for record in records}
        return problems

    @property
    def records(self) -> tuple[ModelRecord, ...]:
        """All, by application and time of state."""
        return tuple(sorted(self._records.values(), key=lambda r: (r.application, r.since)))

    def find(self, application: str, name: str) -> ModelRecord:
        """A model of an application by its id or the beginning of its sha256.

        Raises:
            Refused: there is none, or more than one.
        """
        mine = [r for r in self.records if r.application == application]
        found = [r for r in mine if name == r.id or (name and r.sha256.startswith(name))]
        if len(found) != 1:
            known = ", ".join(f"{r.id} ({r.sha256[:12]})" for r in mine) or "none"
            how = "none is" if not found else f"{len(found)} are"
            raise Refused(f"{how} '{name}' of application '{application}'; known: {known}")
        return found[0]

    async def put(self, changed: Iterable[ModelRecord], gone: Iterable[ModelRecord] = ()) -> None:
        """Write and forget records in one transaction (Deposed: nothing was changed)."""
        changed, gone = tuple(changed), tuple(gone)
        texts: dict[str, str | None] = {_key(r): None for r in gone}
        texts |= {_key(r): json.dumps(asdict(r)) for r in changed}
        await self._leadership.put(texts)
        for record in gone:
            self._records.pop(_place(record), None)
        self._records |= {_place(r): r for r in changed}


def _place(record: ModelRecord) -> tuple[str, str]:
    return record.application, record.sha256


def _key(record: ModelRecord) -> str:
    return f"{PREFIX}{quote(record.application, safe='')}/{record.sha256}"


def _load(key: str, text: str) -> ModelRecord:
    try:
        raw = json.loads(text)
        record = ModelRecord(**{**raw, "state": ModelState(raw["state"])})
        sound = bool(record.champion) and key == _key(record)
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise _damaged(key, error) from error
    if not sound:
        raise _damaged(key, "it speaks of another model")
    return record


def _damaged(key: str, why: object) -> DataError:
    return DataError(f"etcd key {key} is no model ({why}); remedy: etcdctl del {key}")
