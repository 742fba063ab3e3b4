"""When to try a silent peer again. Pure: the caller brings the time."""

from zlib import crc32


class Backoff:
    """Waits that double with each failure, spread so that peers do not retry in step.

    The jitter is a hash of key and failure count: spread between peers, yet repeatable.
    """

    def __init__(self, key: str, *, first_s: float = 0.5, most_s: float = 15.0) -> None:
        self._key = key
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0
        self._until_s = 0.0

    def failed(self, at_s: float) -> None:
        """Note a failure: no try for first_s, then twice that, at most most_s (+-20 %)."""
        wait_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        jitter = 0.8 + 0.4 * (crc32(f"{self._key}/{self._failures}".encode()) / 0xFFFFFFFF)
        self._until_s = at_s + wait_s * jitter

    def succeeded(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self._until_s = 0.0

    def wait_s(self, at_s: float) -> float:
        """Real seconds until the next try; 0 = now."""
        return max(0.0, self._until_s - at_s)
