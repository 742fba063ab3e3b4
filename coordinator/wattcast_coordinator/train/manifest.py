"""The manifest beside a model: where it comes from, how good it is, how to make it again."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from wattcast_coordinator.train.recordings import FILES, TRAIN_END, UNSEEN_FROM

_PACKAGES = ("tensorflow_cpu", "tensorflow", "keras", "lightgbm", "numpy", "pyarrow")


def inputs(data: Path) -> list[dict[str, str]]:
    """File, sha256 and origin with licence of everything read."""
    return [
        {"file": name, "sha256": sha256(data / name), "origin": origin}
        for name, origin in FILES.items()
    ]


def versions() -> dict[str, str]:
    """What the weights depend on besides data and seed."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def split(known_vms: int, new_vms: list[int]) -> dict[str, Any]:
    """How training and judged windows are kept apart."""
    return {
        "time": f"training windows end before {TRAIN_END:%Y-%m-%d %H:%M} UTC (outlets: first 85 %, "
        "alibaba: first 80 %); judged futures lie after it (a week of history may not)",
        "servers": f"{known_vms} VMs to train, {len(new_vms)} others to judge",
        "held_out_vms": new_vms,
        "unseen": f"nothing from {UNSEEN_FROM:%Y-%m-%d} on is read: demos and benchmarks replay it",
    }


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest as JSON."""
    path.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
