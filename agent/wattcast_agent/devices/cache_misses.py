"""Last-level cache misses of this machine, by perf_event_open, where the kernel permits it.

It needs CAP_PERFMON, or kernel.perf_event_paranoid of 0 or less, and a processor (or a virtual
machine) that counts them. perf_event_open(2) is a bare system call: no library wraps it.
"""

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress

_CALL = {"x86_64": 298, "aarch64": 241}.get(platform.machine())
_ATTR_BYTES = 64  # PERF_ATTR_SIZE_VER0 of linux/perf_event.h
_HARDWARE, _CACHE_MISSES = 0, 3
_ANY_PROCESS, _NO_GROUP, _CLOSE_ON_EXEC = -1, -1, 8


class CacheMisses:
    """One counter a processor; opened at the first reading."""

    def __init__(self) -> None:
        self._counters: list[int] | None = None

    def read(self) -> int | None:
        """Misses of all processors since they were opened; None where they are not to be had."""
        if self._counters is None:
            self._counters = _open_all()
        if not self._counters:
            return None
        with suppress(OSError):
            return sum(int.from_bytes(os.read(fd, 8), sys.byteorder) for fd in self._counters)
        return None

    def close(self) -> None:
        """Close all counters."""
        for counter in self._counters or ():
            os.close(counter)
        self._counters = []


def _open_all() -> list[int]:
    """Counters of all processors, none if one is refused."""
    opened: list[int] = []
    call = getattr(ctypes.CDLL(None, use_errno=True), "syscall", None)
    if call is None or _CALL is None:
        return opened
    attr = struct.pack("IIQ", _HARDWARE, _ATTR_BYTES, _CACHE_MISSES).ljust(_ATTR_BYTES, b"\0")
    for processor in range(os.cpu_count() or 1):
        fd = call(_CALL, attr, _ANY_PROCESS, processor, _NO_GROUP, _CLOSE_ON_EXEC)
        if fd < 0:
            for counter in opened:
                os.close(counter)
            return []
        opened.append(fd)
    return opened
