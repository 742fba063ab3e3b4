"""Children that never outlive their parent, also when the parent is killed with SIGKILL."""

import sys
from collections.abc import Sequence

# A fresh interpreter asks the kernel (PR_SET_PDEATHSIG = 1, SIGTERM) and becomes the program.
# preexec_fn would run between fork and exec of a process full of threads (gRPC, DuckDB).
_TRAMPOLINE = """
import ctypes, os, sys
try:
    ctypes.CDLL(None).prctl(1, 15)
except (OSError, AttributeError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit("parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def bound_to(parent_pid: int, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` (absolute path first) and ends with its parent.

    Start it from a thread that lives as long as the parent: Linux watches the thread.
    """
    return [sys.executable, "-ISc", _TRAMPOLINE, str(parent_pid), *command]
