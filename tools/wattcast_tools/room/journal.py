"""A workload's state on disk: an append-only journal, copied by its bytes while it grows.

One entry: a line ``<id> <length>``, the body, a newline. A tail without its end (a copy under way,
a crash) is not an entry yet; the next write cuts it off.
"""

import os
from pathlib import Path
from typing import NamedTuple

NAME = "journal"
_CHUNK = 1 << 20


class Place(NamedTuple):
    """Where a body lies in the file."""

    offset: int
    length: int


class Journal:
    """Records of one instance.

    Invariants: a record is readable if and only if it lies completely in the file.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
        self._places: dict[str, Place] = {}
        self._end = 0
        self._dirty = False
        self.reload()

    def __len__(self) -> int:
        return len(self._places)

    def ids(self) -> list[str]:
        """Ids of all records."""
        return list(self._places)

    def reload(self) -> int:
        """Take in what has been appended to the file from outside; number of records."""
        data = self._tail()
        at = 0
        while (entry := _entry(data, at)) is not None:
            ident, begin, length = entry
            self._places[ident] = Place(self._end + begin, length)
            at = begin + length + 1
        self._end += at
        return len(self._places)

    def put(self, ident: str, body: bytes) -> None:
        """Append a record; it has reached the operating system on return.

        Raises:
            ValueError: the id is empty or contains white space.
        """
        if not ident or any(c.isspace() for c in ident):
            raise ValueError("a record's id is one word")
        head = f"{ident} {len(body)}\n".encode()
        if os.fstat(self._file).st_size > self._end:
            os.ftruncate(self._file, self._end)
        data = head + body + b"\n"
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], self._end + done)
        self._places[ident] = Place(self._end + len(head), len(body))
        self._end += len(data)
        self._dirty = True

    def get(self, ident: str) -> bytes | None:
        """A record's body, read from the file."""
        place = self._places.get(ident)
        return None if place is None else os.pread(self._file, place.length, place.offset)

    def sync(self) -> None:
        """Bring what was written since the last call to the disk itself."""
        if self._dirty:
            self._dirty = False
            os.fsync(self._file)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._file)

    def _tail(self) -> bytes:
        parts, at = [], self._end
        while part := os.pread(self._file, _CHUNK, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)


def _entry(data: bytes, at: int) -> tuple[str, int, int] | None:
    """Id, begin and length of the entry at an offset; None if it is not complete."""
    line_end = data.find(b"\n", at)
    if line_end < 0:
        return None
    ident, _, length = data[at:line_end].decode().partition(" ")
    begin, size = line_end + 1, int(length)
    return (ident, begin, size) if len(data) > begin + size else None
