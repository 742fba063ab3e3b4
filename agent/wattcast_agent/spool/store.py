"""Batches until they are acknowledged, and a few small texts that must survive.

Durability: WAL with synchronous=FULL, one fsync a commit. NORMAL would survive a SIGKILL as well,
but a power cut could take back the last commits: a fencing token or a command already carried out
would be forgotten, and a sequence already acknowledged would be given again to other data.
An agent commits about once a step, so the price does not count.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattcast_core.errors import DataError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (sequence INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_DROPPED = "dropped_batches"
MAX_BYTES = 256 * 1024 * 1024


class Spool:
    """One agent's spool.

    Invariants: sequences rise by one and are never given twice; a batch leaves only when it was
    acknowledged, or dropped as the oldest of a full spool, which is counted.
    """

    def __init__(self, path: Path, first_sequence: int, max_bytes: int = MAX_BYTES) -> None:
        """Open or create.

        Args:
            path: the SQLite file; its folder is created.
            first_sequence: first sequence of a *new* spool. Give milliseconds of the real clock:
                then a spool that was lost and made anew does not repeat acknowledged sequences.
            max_bytes: bodies kept at most; the newest batch is always kept.

        Raises:
            DataError: the file cannot be opened or is not a spool.
        """
        self._path, self._max_bytes = path, max_bytes
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'batches', ?"
                " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'batches')",
                (first_sequence - 1,),
            )
            self._bytes = self._number("SELECT coalesce(sum(length(body)), 0) FROM batches")
            self.count = self._number("SELECT count(*) FROM batches")
            self.highest = self._number("SELECT seq FROM sqlite_sequence WHERE name = 'batches'")
            self.dropped = int(self.get(_DROPPED) or 0)

    def append(self, body: bytes) -> int:
        """Keep a batch; on return it is on disk. Returns its sequence.

        Raises:
            DataError: it could not be written (disk full).
        """
        with self._explained(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            dropped = self._make_room(len(body))
            row = self._db.execute("INSERT INTO batches (body) VALUES (?)", (body,))
            if dropped:
                self._set(_DROPPED, str(self.dropped + dropped))
        self.dropped += dropped
        self.count += 1 - dropped
        self.highest = int(row.lastrowid or 0)
        self._bytes += len(body)
        return self.highest

    def ack(self, sequence: int) -> None:
        """Forget all batches up to ``sequence``: they are safe elsewhere."""
        with self._explained(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            count, size = self._db.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM batches WHERE sequence <= ?",
                (sequence,),
            ).fetchone()
            self._db.execute("DELETE FROM batches WHERE sequence <= ?", (sequence,))
        self.count -= count
        self._bytes -= size

    def renumber(self, after: int) -> None:
        """Move all sequences, waiting and future ones, beyond ``after`` (not below ``highest``)."""
        with self._explained(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            shift = after + 1 - self._number("SELECT coalesce(min(sequence), 0) FROM batches")
            self._db.execute("UPDATE batches SET sequence = sequence + ?", (shift,))
            top = self._number("SELECT coalesce(max(sequence), 0) FROM batches")
            self._db.execute(
                "UPDATE sqlite_sequence SET seq = ? WHERE name = 'batches'", (max(after, top),)
            )
        self.highest = max(after, top)

    def pending(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to ``limit`` batches after a sequence, in order."""
        with self._explained():
            return self._db.execute(
                "SELECT sequence, body FROM batches WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            ).fetchall()

    def get(self, key: str) -> str | None:
        """A kept text."""
        with self._explained():
            row = self._db.execute("SELECT value FROM texts WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str) -> None:
        """Keep a text; on return it is on disk."""
        with self._explained():
            self._set(key, value)

    def under(self, prefix: str) -> dict[str, str]:
        """Kept texts whose key starts with ``prefix``; keys without it."""
        with self._explained():
            rows = self._db.execute(
                "SELECT substr(key, ?), value FROM texts WHERE substr(key, 1, ?) = ?",
                (len(prefix) + 1, len(prefix), prefix),
            ).fetchall()
        return dict(rows)

    def remove(self, key: str) -> None:
        """Forget a text; idempotent."""
        with self._explained():
            self._db.execute("DELETE FROM texts WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def _make_room(self, wanted: int) -> int:
        dropped = 0
        while self._bytes + wanted > self._max_bytes and dropped < self.count:
            sequence, size = self._db.execute(
                "SELECT sequence, length(body) FROM batches ORDER BY sequence LIMIT 1"
            ).fetchone()
            self._db.execute("DELETE FROM batches WHERE sequence = ?", (sequence,))
            self._bytes -= size
            dropped += 1
        return dropped

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (key, value))

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"{self._path}: {error}; remedy: check the disk and agent.state_dir, or move a"
                " damaged file away (its unsent batches are lost)"
            ) from error
