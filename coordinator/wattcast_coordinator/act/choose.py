"""Which reverse proxy stands in front of the workloads, how it is started and controlled."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from wattcast_coordinator.act import envoy_files, haproxy_files
from wattcast_coordinator.act.envoy import Envoy
from wattcast_coordinator.act.haproxy import HaProxy
from wattcast_core.errors import ConfigError, MissingExtraError

_KINDS = ("envoy", "haproxy")


def choose(wanted: str = "") -> str:
    """The kind to use: as wanted, else ``haproxy`` where installed, else ``envoy``."""
    if not wanted:
        return "haproxy" if shutil.which("haproxy") else "envoy"
    if wanted not in _KINDS:
        raise ConfigError(f"redirector.kind: '{wanted}' is not known; choose envoy or haproxy")
    return wanted


def write_bootstrap(
    kind: str,
    folder: Path,
    listeners: Mapping[str, tuple[str, int]],
    serving: Mapping[str, str],
) -> None:
    """Prepare a proxy's folder (see ``envoy_files`` and ``haproxy_files``)."""
    files = haproxy_files if choose(kind) == "haproxy" else envoy_files
    files.write_bootstrap(folder, listeners, serving)


def command(kind: str, folder: Path) -> list[str]:
    """The command line that runs the proxy of a prepared folder in the foreground."""
    if choose(kind) == "haproxy":
        program = shutil.which("haproxy")
        if program is None:
            raise ConfigError("haproxy is not installed; remedy: apt-get install haproxy, or envoy")
        return [program, "-db", "-q", "-f", str(haproxy_files.config_file(folder))]
    arguments = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return [str(_envoy()), "-c", str(folder.absolute() / "envoy.json"), *arguments]


def start(kind: str, folder: Path, *, own_session: bool = True) -> subprocess.Popen[bytes]:
    """Run the proxy of a prepared folder; its output goes to ``proxy.log`` there."""
    with (folder / "proxy.log").open("ab") as log:
        return subprocess.Popen(
            command(kind, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=own_session,
        )


def redirector(kind: str, folder: Path) -> Envoy | HaProxy:
    """The control side; needs only the folder."""
    return HaProxy(folder) if choose(kind) == "haproxy" else Envoy(folder)


def _envoy() -> Path:
    installed = shutil.which("envoy")
    if installed:
        return Path(installed)
    spec = find_spec("envoy")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(place) / "_bin" / "envoy"
        if program.exists():
            return program
    if sys.platform != "linux":
        raise ConfigError(
            "no envoy on PATH; remedy: install it, or set redirector.kind = 'haproxy'"
        )
    raise MissingExtraError("envoy", "tools")
