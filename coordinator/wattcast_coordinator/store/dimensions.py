"""Tables with validity: what a server was, and which feed a meter stood on, at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wattcast_coordinator.store.engine import Session
from wattcast_coordinator.store.frames import table
from wattcast_coordinator.store.schema import FOREVER, SMALL, TAGS

_LAST = datetime.fromisoformat(FOREVER)
_COLUMNS = ", ".join(SMALL["servers"])
_METERS = ", ".join(SMALL["meters"])
_UNKNOWN = (
    # LEFT JOIN: rows whose tags are not those that the server is known to have had then
    "SELECT DISTINCT new.server, new.ts, new.step_s, "
    + ", ".join(f"new.{tag}" for tag in TAGS)
    + " FROM new_signatures AS new LEFT JOIN servers AS old ON old.server = new.server"
    " AND new.ts >= old.valid_from AND new.ts < old.valid_to WHERE old.server IS NULL OR "
    + " OR ".join(f"new.{tag} <> old.{tag}" for tag in TAGS)
    + " ORDER BY new.server, new.ts"
)
_NEWEST = (
    "SELECT server, max(ts) FROM signatures"
    " WHERE server IN (SELECT server FROM new_signatures) GROUP BY server"
)


@dataclass(frozen=True, slots=True)
class Span:
    """What held from a time until another one."""

    what: tuple[Any, ...]
    since: datetime
    until: datetime


def insert(
    spans: Sequence[Span], what: tuple[Any, ...], at: datetime, step: timedelta, newest: datetime
) -> list[Span]:
    """The spans after something was seen to hold for a step; what was seen before stays as it is.

    The newest sight holds on beyond it until something else is seen.

    Args:
        spans: ordered, without gap or overlap, the last one until FOREVER.
        what: what was seen.
        at: start of the step.
        step: length of the step.
        newest: the newest time at which anything was seen, this one included.
    """
    if not spans:
        return [Span(what, at, _LAST)]
    if at < spans[0].since:
        return _merged([Span(what, at, spans[0].since), *spans])
    place = max(i for i, span in enumerate(spans) if span.since <= at)
    before = spans[place]
    end = before.until if at >= newest else min(at + step, before.until)
    parts = [
        Span(before.what, before.since, at),
        Span(what, at, end),
        Span(before.what, end, before.until),
    ]
    held = [part for part in parts if part.since < part.until]
    return _merged([*spans[:place], *held, *spans[place + 1 :]])


def observe(session: Session) -> None:
    """Bring ``servers`` up to date with ``new_signatures``: usually there is nothing to do."""
    seen = session.rows(_UNKNOWN)
    if not seen:
        return
    spans = _known(session, {row[0] for row in seen})
    newest: dict[str, datetime] = dict(session.rows(_NEWEST))
    for server, at, step_s, *tags in seen:
        known = spans.get(server, [])
        step = timedelta(seconds=step_s or 0.0)
        spans[server] = insert(known, tuple(tags), at, step, newest[server])
    rows = [
        (server, *span.what, span.since, span.until)
        for server, known in spans.items()
        for span in known
    ]
    session.stage("servers", table(SMALL["servers"], rows))
    session.execute("DELETE FROM servers WHERE server IN (SELECT server FROM new_servers)")
    session.execute(f"INSERT INTO servers ({_COLUMNS}) SELECT {_COLUMNS} FROM new_servers")


def _known(session: Session, servers: set[str]) -> dict[str, list[Span]]:
    """What is known of servers; all are read, as the table is small."""
    out: dict[str, list[Span]] = {}
    found = session.rows(f"SELECT {_COLUMNS} FROM servers ORDER BY server, valid_from")
    for server, *tags, since, until in found:
        if server in servers:
            out.setdefault(server, []).append(Span(tuple(tags), since, until))
    return out


def describe(session: Session, meters: Mapping[str, tuple[str, str, str]], at: datetime) -> None:
    """Close what no longer holds at ``at`` and open what does."""
    rows = [(source, *what, at, _LAST) for source, what in meters.items()]
    session.stage("meters", table(SMALL["meters"], rows))
    same = "new.source = meters.source AND new.feed = meters.feed AND new.rack = meters.rack"
    same = f"{same} AND new.part = meters.part AND meters.valid_to = TIMESTAMP '{FOREVER}'"
    session.execute(
        f"UPDATE meters SET valid_to = $1 WHERE valid_to = TIMESTAMP '{FOREVER}'"
        f" AND NOT EXISTS (SELECT 1 FROM new_meters AS new WHERE {same})",
        [at],
    )
    session.execute(
        f"INSERT INTO meters ({_METERS}) SELECT {_METERS} FROM new_meters AS new"
        f" WHERE NOT EXISTS (SELECT 1 FROM meters WHERE {same})"
    )


def _merged(spans: Sequence[Span]) -> list[Span]:
    out: list[Span] = []
    for span in spans:
        if out and out[-1].what == span.what and out[-1].until >= span.since:
            out[-1] = Span(span.what, out[-1].since, span.until)
        else:
            out.append(span)
    return out
