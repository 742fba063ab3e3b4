"""Paths of a reverse proxy's folder, shared by the site that starts it and the coordinator."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wattcast_core.errors import ConfigError

_SOCKET_PATH_LIMIT = 107  # bytes; sun_path of Linux is 108 with its terminator


def socket_path(folder: Path) -> Path:
    """The admin socket; ConfigError if the folder's path is too long for a Unix socket."""
    path = folder.absolute() / "admin.sock"
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"redirector.dir: {folder}: the socket's path would have {length} bytes, "
            f"{_SOCKET_PATH_LIMIT} at most; remedy: choose a shorter folder, e.g. below /run"
        )
    return path


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old or the new text, never half of it."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def replace_json(path: Path, content: Mapping[str, Any]) -> None:
    """``replace_text`` with JSON."""
    replace_text(path, json.dumps(content))


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` (ConfigError if it is not one)."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"'{address}': expected host:port")
    return host, int(port)
