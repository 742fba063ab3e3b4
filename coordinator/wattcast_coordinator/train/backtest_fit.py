"""An LSTM of the panel's own: fitted on its steps before the split, kept in a folder and reused."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_coordinator.train import dataset, export, manifest, network
from wattcast_coordinator.train.backtest_panel import Panel
from wattcast_coordinator.train.dataset import Examples
from wattcast_coordinator.train.recordings import Panel as Recorded
from wattcast_core.errors import ConfigError
from wattcast_core.signal.features import Float32Array

MODEL, MANIFEST = "base.tflite", "base.manifest.json"
_SERVER_SHARE = 0.7  # of the windows; the sums share the rest
_HEAVIEST = 5.0  # times the mean weight of its level


@dataclass(frozen=True, slots=True)
class Request:
    """What to fit.

    Attributes:
        folder: holds what was fitted, or will.
        fit_until: nothing from it on is used.
        windows: to draw at most.
        epochs: passes over them.
        seed: of every random draw.
    """

    folder: Path
    fit_until: datetime
    windows: int
    epochs: int
    seed: int


def ensure(panel: Panel, request: Request, progress: Callable[[str], None]) -> None:
    """Fit and write the model and its manifest, unless the folder holds them already.

    Raises:
        ConfigError: the folder holds a model fitted until another time.
        MissingExtraError: the extra ``train`` is not installed.
    """
    kept = request.folder / MANIFEST
    until = request.fit_until.isoformat()
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8")).get("fit_until")
        if found != until:
            raise ConfigError(
                f"{kept}: fitted until {found}, not {until}; remedy: give another --fit-dir"
            )
        progress(f"reusing the model in {request.folder}")
        return
    network.tensorflow(request.seed)
    examples, weight = _examples(panel, request)
    progress(f"fitting on {len(examples)} windows, {request.epochs} epochs")
    model = network.fit(
        examples.input.x, examples.scaled, weight, epochs=request.epochs, seed=request.seed
    )
    _write(model, request, examples)


def _examples(panel: Panel, request: Request) -> tuple[Examples, Float32Array]:
    rng = np.random.default_rng(request.seed)
    parts = []
    for level in panel.levels:
        ones = np.ones(len(level.ids))
        recorded = Recorded(level.name, level.channels, panel.start_s, ones, panel.split)
        others = (1.0 - _SERVER_SHARE) / (len(panel.levels) - 1)
        share = _SERVER_SHARE if level.name == "server" else others
        count = round(request.windows * share)
        parts.append(dataset.draw(recorded, count, rng, held_out=False, augment=dataset.Augment()))
    return dataset.join(parts), np.concatenate([_weight(part) for part in parts])


def _weight(examples: Examples) -> Float32Array:
    """Losses count in watts: lively series of a level weigh more."""
    scale = examples.input.scale_w
    weight = np.minimum(scale / max(float(scale.mean()), 1e-9), _HEAVIEST) if len(scale) else scale
    return np.asarray(weight, np.float32)


def _write(model: Any, request: Request, examples: Examples) -> None:
    request.folder.mkdir(parents=True, exist_ok=True)
    weights, until = export.weights_sha256(model), request.fit_until.isoformat()
    model_id = f"panel-lstm{network.UNITS}-{weights[:8]}"
    about = export.metadata(model_id, application="panel", trained_at=until, scores={})
    sha256 = export.write(model, request.folder / MODEL, about, examples.input.x[:64])
    written = {
        "schema": 1,
        "id": model_id,
        "file": MODEL,
        "sha256": sha256,
        "weights_sha256": weights,
        "fit_until": until,
        "windows": len(examples),
        "epochs": request.epochs,
        "seed": request.seed,
        "versions": manifest.versions(),
    }
    manifest.write(request.folder / MANIFEST, written)
