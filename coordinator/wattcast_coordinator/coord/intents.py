"""Intents in etcd: what the leader decided to do, written down before anything is done.

``etcdctl get --prefix /wattcast/intents/`` shows them as JSON.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from wattcast_coordinator.coord.election import Leadership

PREFIX = "/wattcast/intents/"
_log = logging.getLogger(__name__)


class IntentKind(StrEnum):
    """What is to be done."""

    MOVE = "move"
    TRANSFER = "transfer"


class IntentState(StrEnum):
    """How far it is; all but the first two are final."""

    ISSUED = "issued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    UNDONE = "undone"
    FAILED = "failed"


OPEN = frozenset({IntentState.ISSUED, IntentState.RUNNING})


@dataclass(frozen=True, slots=True)
class Intent:
    """One decided action.

    Attributes:
        token: fencing token under which it was issued.
        what: the action in plain words and numbers, e.g. workload, source, target.
        at: data time of the last change of state.
        result: what came of it, for an operator.
    """

    id: str
    kind: IntentKind
    token: int
    at: datetime
    what: Mapping[str, str | float] = field(default_factory=dict)
    state: IntentState = IntentState.ISSUED
    result: str = ""


class Intents:
    """Reads all intents; writes them under a term's fencing token."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def issue(
        self, ident: str, kind: IntentKind, what: Mapping[str, str | float], at: datetime
    ) -> Intent:
        """Write a new intent under the present token (Deposed: do not act)."""
        return await self._put(Intent(ident, kind, self._leadership.token, at, what))

    async def advance(
        self, intent: Intent, state: IntentState, at: datetime, result: str = ""
    ) -> Intent:
        """Write how far an intent is; it keeps the token it was issued under."""
        return await self._put(replace(intent, state=state, at=at, result=result))

    async def list(self) -> tuple[Intent, ...]:
        """All intents by id; one that cannot be read is logged and left out."""
        found = [_load(kv.key, kv.value) for kv in await self._leadership.etcd.list(PREFIX)]
        return tuple(intent for intent in found if intent)

    async def open(self) -> tuple[Intent, ...]:
        """Those not yet finished: what a new leader must resume."""
        return tuple(intent for intent in await self.list() if intent.state in OPEN)

    async def _put(self, intent: Intent) -> Intent:
        await self._leadership.put({PREFIX + intent.id: _dump(intent)})
        return intent


def _dump(intent: Intent) -> str:
    return json.dumps(
        {
            "id": intent.id,
            "kind": intent.kind,
            "token": intent.token,
            "state": intent.state,
            "what": dict(intent.what),
            "at": intent.at.isoformat(),
            "result": intent.result,
        }
    )


def _load(key: str, text: str) -> Intent | None:
    try:
        raw = json.loads(text)
        return Intent(
            id=str(raw["id"]),
            kind=IntentKind(raw["kind"]),
            token=int(raw["token"]),
            at=datetime.fromisoformat(raw["at"]),
            what=dict(raw["what"]),
            state=IntentState(raw["state"]),
            result=str(raw["result"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("etcd key %s is no intent (%s); remedy: etcdctl del %s", key, error, key)
        return None
