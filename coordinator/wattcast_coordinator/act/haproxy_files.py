"""HAProxy's configuration: a frontend and a backend a workload, drained servers have weight 0.

``option http-buffer-request`` and ``tune.bufsize``: a request held and then answered 503 is sent
again only if all of it lies in the buffer; larger bodies were lost.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from wattcast_coordinator.act.proxy_dir import replace_text, socket_path
from wattcast_core.errors import ConfigError

_BUFFER_BYTES = 131072
CHECK = "check inter 200ms fall 5 rise 2"
_HEAD = """global
  stats socket {socket} mode 600 level admin
  stats timeout 60s
  maxconn 4096
  tune.bufsize {buffer}
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 30s
  timeout queue 30s
  timeout http-request 30s
  option redispatch 1
  option http-buffer-request
  retries 8
  retry-on conn-failure empty-response 503
"""
_PART = """frontend in_{name}
  bind {host}:{port}
  default_backend {name}
backend {name}
  balance leastconn
  option httpchk GET /health
  http-check expect status 200
"""
_BIND = re.compile(r"^frontend in_(\S+)\n  bind (\S+):(\d+)$", re.MULTILINE)


def config_file(folder: Path) -> Path:
    """The configuration."""
    return folder.absolute() / "haproxy.cfg"


def server_name(address: str) -> str:
    """A server's name in its backend."""
    return re.sub(r"[^0-9A-Za-z]", "_", address)


def write_config(
    folder: Path,
    listeners: Mapping[str, tuple[str, int]],
    endpoints: Mapping[str, Mapping[str, bool]],
) -> None:
    """Replace the configuration; ``endpoints``: workload -> address -> receives traffic."""
    text = _HEAD.format(socket=socket_path(folder), buffer=_BUFFER_BYTES)
    for workload, (host, port) in listeners.items():
        if re.fullmatch(r"[A-Za-z0-9_.:-]+", workload) is None:
            raise ConfigError(f"workload '{workload}': HAProxy allows letters, digits and _ . : -")
        text += _PART.format(name=workload, host=host, port=port)
        for address, serving in endpoints.get(workload, {}).items():
            text += f"  server {server_name(address)} {address} {CHECK} weight {int(serving)}\n"
    replace_text(config_file(folder), text)


def read_listeners(folder: Path) -> dict[str, tuple[str, int]]:
    """Workload -> host and port, as the configuration has them."""
    try:
        text = config_file(folder).read_text()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{config_file(folder)}: no such file; remedy: start the proxy of this folder"
        ) from error
    return {name: (host, int(port)) for name, host, port in _BIND.findall(text)}


def write_bootstrap(
    folder: Path, listeners: Mapping[str, tuple[str, int]], serving: Mapping[str, str]
) -> None:
    """Write the first configuration; one that exists is kept, so a restart resumes.

    Args:
        folder: the proxy's folder; made if missing.
        listeners: workload -> host and port its users reach.
        serving: workload -> ``host:port`` of the instance that serves it first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not config_file(folder).exists():
        write_config(folder, listeners, {w: {a: True} for w, a in serving.items()})
