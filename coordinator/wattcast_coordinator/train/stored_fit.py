"""A model of an application's servers, learned from what a database holds before a step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from wattcast_coordinator.train import dataset, export, manifest, network
from wattcast_coordinator.train.recordings import Panel
from wattcast_coordinator.train.stored import Stored
from wattcast_core.errors import DataError
from wattcast_core.signal.features import STEP_S
from wattcast_core.units import from_epoch_s

MODEL, MANIFEST = "model.tflite", "model.manifest.json"
_HEAVIEST = 5.0  # times the mean weight
_LEAST_WINDOWS = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        windows: to draw at most.
        epochs: passes over them.
        seed: of every random draw.
    """

    windows: int = 50_000
    epochs: int = 10
    seed: int = 1


def fit(
    stored: Stored,
    application: str,
    split: int,
    settings: Settings,
    folder: Path,
    progress: Callable[[str], None],
) -> None:
    """Train and write MODEL and MANIFEST into a folder.

    Args:
        stored: of the application's servers.
        application: its name, or ALL.
        split: nothing from this step on is used.
        settings: how long and from which random state.
        folder: to write to.
        progress: takes a line.

    Raises:
        DataError: too little was measured.
        MissingExtraError: the extra ``train`` is absent.
    """
    network.tensorflow(settings.seed)
    series = stored.channels[:, :split]
    panel = Panel(application, series, stored.start_s, np.ones(len(series)), split)
    rng = np.random.default_rng(settings.seed)
    drawn = dataset.draw(panel, settings.windows, rng, held_out=False, augment=dataset.Augment())
    if len(drawn) < _LEAST_WINDOWS:
        raise DataError(
            f"application {application}: {len(drawn)} windows with an hour known ahead,"
            f" {_LEAST_WINDOWS} are needed; remedy: wait until more is measured"
        )
    progress(f"{application}: learning from {len(drawn)} windows, {settings.epochs} epochs")
    scale = drawn.input.scale_w
    weight = np.asarray(np.minimum(scale / scale.mean(), _HEAVIEST), np.float32)
    model = network.fit(
        drawn.input.x, drawn.scaled, weight, epochs=settings.epochs, seed=settings.seed
    )
    weights = export.weights_sha256(model)
    until = from_epoch_s(stored.start_s + split * STEP_S).isoformat()
    about = export.metadata(
        f"{quote(application, safe='') if application != '*' else 'site'}-{weights[:8]}",
        application=application,
        trained_at=until,
        scores={},
    )
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = export.write(model, folder / MODEL, about, drawn.input.x[:64])
    written = {
        "schema": about["schema"],
        "id": about["id"],
        "file": MODEL,
        "sha256": sha256,
        "weights_sha256": weights,
        "application": application,
        "trained_at": until,
        "series": len(series),
        "windows": len(drawn),
        "epochs": settings.epochs,
        "seed": settings.seed,
        "versions": manifest.versions(),
    }
    manifest.write(folder / MANIFEST, written)
