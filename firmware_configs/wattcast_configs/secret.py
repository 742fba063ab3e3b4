"""Secrets of devices and services: in the environment or in files, never in a file of ours."""

import os
from pathlib import Path

from wattcast_core.errors import ConfigError


def read_secret(reference: str, place: str) -> str:
    """The secret that ``env:NAME`` or ``file:/path`` refers to.

    Raises:
        ConfigError: it is not there, is empty, or stands in clear; the text does not repeat it.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        secret = os.environ.get(name, "")
        where = f"environment variable {name}"
    elif kind == "file" and name:
        secret, where = _from_file(Path(name), place), f"file {name}"
    else:
        raise ConfigError(f"{place}: a secret is not written here; use 'env:NAME' or 'file:/path'")
    if not secret:
        raise ConfigError(f"{place}: {where} is not set or empty; put the secret there")
    return secret


def _from_file(path: Path, place: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: {path} cannot be read: {error}") from error
