"""By minute for ninety days, raw for seven: what is added up, and what is deleted."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from wattcast_coordinator.store.engine import Engine, Session
from wattcast_coordinator.store.schema import (
    FEEDS_1M,
    FORECASTS,
    RAW,
    SAMPLES,
    SAMPLES_1M,
    SIGNATURES,
    SIGNATURES_1M,
    WORKLOAD_POWER,
    Series,
)
from wattcast_core.columns import milliseconds
from wattcast_core.signature import FEATURES
from wattcast_core.units import EPOCH

_DAY_MS = 86_400_000
_MINUTE = timedelta(minutes=1)
_MEANS = ", ".join(f'avg("{name}") AS "{name}"' for name in FEATURES)


_RULES = (
    (
        SIGNATURES_1M,
        SIGNATURES,
        f"""count(*) AS steps, max(step_s) AS step_s, avg(power_w) AS power_w,
        min(power_w) AS power_min_w, max(power_w) AS power_max_w, {_MEANS}""",
    ),
    (
        SAMPLES_1M,
        SAMPLES,
        """count(value) AS readings, avg(value) AS value, min(value) AS value_min,
        max(value) AS value_max""",
    ),
)  # table of minutes, raw table, SQL of the columns after the key
_TOTALS = (
    "(quantity = 'device.power_w' OR quantity LIKE 'inlet.%.power_w'"
    " AND quantity NOT LIKE 'inlet.%.%.power_w')"
)
# A feed's minute: the sum over its meters of their means; a meter's is its own total, else that of
# its inlets (see wattcast_core.points).
_SUM_OF_METERS = """SELECT m.feed, s.ts, sum(s.power_w) AS power_w, count(s.power_w) AS meters
    FROM (SELECT source, ts, coalesce(max(CASE WHEN quantity = 'device.power_w' THEN value END),
            sum(value)) AS power_w FROM ({minutes}) AS r GROUP BY source, ts) AS s
    JOIN meters AS m ON m.source = s.source AND s.ts >= m.valid_from AND s.ts < m.valid_to
    GROUP BY m.feed, s.ts"""
_MAKE_FEEDS = _SUM_OF_METERS.format(
    minutes=f"""SELECT source, quantity, ts, value FROM samples_1m
        WHERE {_TOTALS} AND ts >= $1 AND ts < $2 + INTERVAL '1 minute'"""
)
_NEWEST_FEEDS = _SUM_OF_METERS.format(
    minutes=f"""SELECT source, quantity, date_trunc('minute', ts) AS ts, avg(value) AS value
        FROM samples WHERE {_TOTALS} AND ts >= greatest($1,
            coalesce((SELECT max(ts) + INTERVAL '1 minute' FROM feeds_1m), $1))
        GROUP BY source, quantity, date_trunc('minute', ts)"""
)
# Minutes not yet added up come from the raw rows.
FEEDS_SQL = f"""SELECT feed, ts, power_w, meters FROM feeds_1m WHERE ts >= $1
    UNION ALL {_NEWEST_FEEDS} ORDER BY 1, 2"""


def mark(session: Session, series: Iterable[Series]) -> None:
    """Note the minutes that ``new_NAME`` touches: late rows and replays are added up again."""
    minutes = [f"SELECT date_trunc('minute', ts) FROM new_{s.name}" for s in series]
    if minutes:
        session.execute(f"INSERT INTO rollup_due {' UNION '.join(minutes)}")


def roll(session: Session, now: datetime, raw_days: float) -> int:
    """Add up the due minutes that have ended; returns how many.

    A minute whose raw rows may be deleted already is never made anew from the few that came late.
    """
    at = now.astimezone(UTC).replace(tzinfo=None)
    due = [
        row[0]
        for row in session.rows(
            "SELECT DISTINCT minute FROM rollup_due WHERE minute + INTERVAL '1 minute' <= $1", [at]
        )
    ]
    closed_before = (EPOCH + timedelta(milliseconds=midnight_ms(now, raw_days))).replace(
        tzinfo=None
    )
    for first, last in _runs(due):
        for table, raw, sums in _RULES:
            _make_room(session, table, first, last)
            _make(session, table, raw, sums, (first, last, closed_before))
        _make_feeds(session, first, last)
    session.execute("DELETE FROM rollup_due WHERE minute + INTERVAL '1 minute' <= $1", [at])
    return len(due)


def prune(engine: Engine, now: datetime, raw_days: float, rollup_days: float) -> None:
    """Delete whole days of raw rows and of roll-ups that are older than their time."""
    raw_ms = midnight_ms(now, raw_days)
    for series in RAW:
        engine.drop_before(series, raw_ms)
    for series in (SIGNATURES_1M, SAMPLES_1M, FEEDS_1M, FORECASTS, WORKLOAD_POWER):
        engine.drop_before(series, midnight_ms(now, rollup_days))


def midnight_ms(now: datetime, days: float) -> int:
    """The midnight (UTC) at or before ``days`` ago, in milliseconds since 1970."""
    return milliseconds(now - timedelta(days=days)) // _DAY_MS * _DAY_MS


def _make_room(session: Session, table: Series, first: datetime, last: datetime) -> None:
    midnight_ms = milliseconds(first.replace(hour=0, minute=0, tzinfo=UTC))
    days = (last.date() - first.date()).days + 1
    session.make_room(table, [midnight_ms + day * _DAY_MS for day in range(days)])


def _make(
    session: Session, table: Series, raw: Series, sums: str, when: tuple[datetime, ...]
) -> None:
    """Make the rows of the minutes from the first to the last anew, unless closed before."""
    session.execute(
        f"DELETE FROM {table.name} WHERE ts >= greatest($1, $3) AND ts < $2 + INTERVAL '1 minute'",
        when,
    )
    columns = ", ".join(f'"{column}"' for column in table.columns)
    key = ", ".join(table.key[:-1])
    same = " AND ".join(f"old.{part} = made.{part}" for part in table.key)
    session.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM"
        f" (SELECT {key}, date_trunc('minute', ts) AS ts, {sums} FROM {raw.name}"
        " WHERE ts >= $1 AND ts < $2 + INTERVAL '1 minute'"
        f" GROUP BY {key}, date_trunc('minute', ts)) AS made"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table.name} AS old WHERE {same}"
        " AND old.ts >= $1 AND old.ts < $2 + INTERVAL '1 minute')",
        when[:2],
    )


def _make_feeds(session: Session, first: datetime, last: datetime) -> None:
    _make_room(session, FEEDS_1M, first, last)
    when = [first, last]
    session.execute("DELETE FROM feeds_1m WHERE ts >= $1 AND ts < $2 + INTERVAL '1 minute'", when)
    session.execute(f"INSERT INTO feeds_1m (feed, ts, power_w, meters) {_MAKE_FEEDS}", when)


def _runs(minutes: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """First and last of each run of consecutive minutes."""
    runs: list[tuple[datetime, datetime]] = []
    for minute in sorted(minutes):
        if runs and minute - runs[-1][1] == _MINUTE:
            runs[-1] = (runs[-1][0], minute)
        else:
            runs.append((minute, minute))
    return runs
