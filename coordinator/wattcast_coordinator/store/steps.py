"""What models learn from: every server on the model's steps, with the application it had then."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store.engine import Engine
from wattcast_coordinator.store.export import write
from wattcast_core.signal.steps import STEP_S
from wattcast_core.signature import FEATURES

_COLUMNS = ", ".join(["power_w", *(f'"{name}"' for name in FEATURES)])
_MEANS = ", ".join(f'avg(r."{name}") AS "{name}"' for name in ("power_w", *FEATURES))
# By minute where that is added up, which is kept longer; the newest minutes as they came.
_SQL = f"""WITH r AS (
    SELECT server, ts, {_COLUMNS} FROM signatures_1m WHERE ts >= $1 AND ts < $2
    UNION ALL SELECT server, ts, {_COLUMNS} FROM signatures WHERE ts >= greatest($1,
        coalesce((SELECT max(ts) + INTERVAL '1 minute' FROM signatures_1m), $1)) AND ts < $2)
    SELECT r.server, coalesce(d.application, '') AS application,
        CAST(floor(extract(epoch FROM r.ts) / {int(STEP_S)}) AS BIGINT) AS step, {_MEANS}
    FROM r LEFT JOIN servers AS d ON d.server = r.server
        AND r.ts >= d.valid_from AND r.ts < d.valid_to
    GROUP BY 1, 2, 3 ORDER BY 1, 3, 2"""


def steps(engine: Engine, since: datetime, until: datetime) -> pa.Table:
    """Columns server, application, step (epoch seconds / STEP_S), power_w and FEATURES."""
    with engine.snapshot() as read:
        return read(_SQL, _span(since, until)).read_all()


def steps_to_file(engine: Engine, path: Path, since: datetime, until: datetime) -> int:
    """The same as a .parquet file, written as it comes; how many rows."""
    with engine.snapshot() as read:
        return write(read(_SQL, _span(since, until)), path)


def newest(engine: Engine) -> datetime | None:
    """Time of the newest signature; None if there is none."""
    ((at,),) = engine.rows("SELECT max(ts) FROM signatures")
    if at is None:
        ((at,),) = engine.rows("SELECT max(ts) FROM signatures_1m")
    return None if at is None else at.replace(tzinfo=UTC)


def _span(since: datetime, until: datetime) -> list[datetime]:
    return [at.astimezone(UTC).replace(tzinfo=None) for at in (since, until)]
