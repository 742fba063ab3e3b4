"""Backups that any engine restores: a folder with one Parquet file a table and a manifest.

Taken from one snapshot while rows come in. A backup of DuckDB may be restored into PostgreSQL and
the other way round; one of an older version is brought up to date.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped] # has no stubs
import pyarrow.parquet as pq  # type: ignore[import-untyped] # has no stubs

from wattcast_coordinator.store import export
from wattcast_coordinator.store.engine import Engine
from wattcast_coordinator.store.frames import days_ms
from wattcast_coordinator.store.migrations import VERSIONS, migrate
from wattcast_coordinator.store.schema import SERIES, TABLES
from wattcast_core.errors import DataError, Refused
from wattcast_core.units import EPOCH

MANIFEST = "manifest.json"
_ROWS = 100_000
_NAME = "wattcast-%Y%m%dT%H%M%SZ"
Progress = Callable[[str], None]
Json = dict[str, Any]


def backup(engine: Engine, folder: Path, progress: Progress = lambda _: None) -> int:
    """Copy everything; the folder appears when it is complete.

    Returns:
        How many rows.

    Raises:
        Refused: the folder exists.
        StoreUnavailable: the database does not answer.
    """
    if folder.exists():
        raise Refused(f"{folder}: exists; remedy: give a new folder for each backup")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tables = {}
    with engine.snapshot() as read:
        for name, columns in TABLES.items():
            listed = ", ".join(f'"{column}"' for column in columns)
            rows = export.write(read(f"SELECT {listed} FROM {name}", ()), part / f"{name}.parquet")
            tables[name] = {"rows": rows, "sha256": _sha256(part / f"{name}.parquet")}
            progress(f"{name}: {rows} rows")
    manifest: Json = {"wattcast_backup": 1, "schema": len(VERSIONS), "tables": tables}
    (part / MANIFEST).write_text(json.dumps(manifest, indent=2))
    part.rename(folder)
    return sum(manifest["tables"][name]["rows"] for name in tables)


def restore(engine: Engine, folder: Path, progress: Progress = lambda _: None) -> int:
    """Load a backup into an empty database, and bring it up to date.

    Returns:
        How many rows.

    Raises:
        DataError: the backup is incomplete, damaged, or of a newer version.
        Refused: the database is not empty.
    """
    manifest = _checked(folder)
    if migrate(engine, manifest["schema"]) and _holds_rows(engine, manifest):
        raise Refused(
            f"{engine.place}: holds rows already; remedy: restore into an empty database (move the"
            " DuckDB file away, or create a new PostgreSQL database)"
        )
    count = 0
    for name, facts in manifest["tables"].items():
        for batch in pq.ParquetFile(folder / f"{name}.parquet").iter_batches(_ROWS):
            _load(engine, name, pa.Table.from_batches([batch]))
        progress(f"{name}: {facts['rows']} rows")
        count += facts["rows"]
    migrate(engine)
    return count


def rotate(engine: Engine, folder: Path, now: datetime, keep: int) -> Path:
    """Take a backup named by the time, then delete the oldest beyond ``keep``."""
    made = folder / now.strftime(_NAME)
    backup(engine, made)
    for path in _complete(folder)[:-keep]:
        shutil.rmtree(path)
    return made


def newest(folder: Path) -> datetime:
    """Data time of the newest complete backup that ``rotate`` made; 1970 if there is none."""
    made = _complete(folder)
    return datetime.strptime(made[-1].name, _NAME).replace(tzinfo=UTC) if made else EPOCH


def _complete(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path.parent for path in folder.glob(f"wattcast-*Z/{MANIFEST}"))


def _load(engine: Engine, name: str, rows: pa.Table) -> None:
    series = {s.name: s for s in SERIES}.get(name)
    with engine.transaction() as session:
        if series is not None:
            session.make_room(series, days_ms(rows[series.time]))
        session.load(name, rows)


def _holds_rows(engine: Engine, manifest: Json) -> bool:
    return any(engine.rows(f"SELECT 1 FROM {name} LIMIT 1") for name in manifest["tables"])


def _checked(folder: Path) -> Json:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        tables = manifest["tables"]
        damaged = [n for n, t in tables.items() if _sha256(folder / f"{n}.parquet") != t["sha256"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no complete backup ({error}); remedy: give another") from error
    if damaged:
        raise DataError(f"{folder}: damaged: {', '.join(damaged)}; remedy: give another backup")
    if manifest["schema"] > len(VERSIONS):
        raise DataError(f"{folder}: made by a newer version of Wattcast; remedy: upgrade")
    return dict(manifest)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
