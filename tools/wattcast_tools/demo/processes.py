"""Child processes that never outlive the demo: watched, and ended in reverse order."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from wattcast_core.errors import WattcastError

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 12
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """In the child: ask the kernel for SIGTERM when the parent dies (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """The children of one demo; a context manager that ends what it started."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def python(self, name: str, module: str, *words: str, revive: bool = False) -> None:
        """Start ``python -m module words``; with ``revive`` it is started anew when killed."""
        command = [sys.executable, "-m", module, *words]
        if revive:
            self._commands[name] = command
        self.start(name, command)

    def revive(self) -> list[str]:
        """Start anew what was killed by a signal, as a service manager would; the names."""
        killed = [
            name
            for name in self._commands
            if name in self._running and (self._running[name].poll() or 0) < 0
        ]
        for name in killed:
            self.start(name, self._commands[name])
        return killed

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program; its output goes to ``<name>.log``."""
        # Own session: Ctrl-C reaches the demo only, which then ends the children in order.
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads are running yet
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._log_dir / f"{name}.log"

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return self._running[name].pid

    def check(self) -> None:
        """Raise WattcastError if a child ended by itself, with the end of its log."""
        for name, child in self._running.items():
            if child.poll() is not None:
                lines = self.log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:]
                text = "\n  ".join(lines)
                raise WattcastError(f"{name} ended with {child.returncode}:\n  {text}")

    def stop(self, name: str, patience_s: float = 8.0) -> None:
        """End one child: SIGTERM, then SIGKILL."""
        child = self._running.pop(name, None)
        if child is None:
            return
        child.terminate()
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def wait_file(self, path: Path, patience_s: float) -> None:
        """Wait until a file exists; children are watched meanwhile."""
        deadline = time.monotonic() + patience_s
        while not path.exists():
            self.check()
            if time.monotonic() > deadline:
                raise WattcastError(f"{path.name} did not appear in {patience_s:.0f} s; see logs")
            time.sleep(0.05)
