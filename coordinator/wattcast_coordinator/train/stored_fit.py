"""A model of an application's servers, learned from what a database holds before a step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from wattcast_coordinator.train import export, manifest, network, servers_fit
from wattcast_coordinator.train.recordings import Panel
from wattcast_coordinator.train.stored import Stored
from wattcast_core.models import ALL
from wattcast_core.signal.steps import STEP_S
from wattcast_core.units import from_epoch_s

MODEL, MANIFEST = "model.tflite", "model.manifest.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        windows: to draw at most.
        epochs: passes over them at most.
        seed: of every random draw.
    """

    windows: int = 50_000
    epochs: int = 8
    seed: int = 1


def fit(
    stored: Stored,
    application: str,
    split: int,
    settings: Settings,
    folder: Path,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Train and write MODEL and MANIFEST into a folder; the manifest.

    Args:
        stored: of the application's servers.
        application: its name, or ALL.
        split: nothing from this step on is used.
        settings: how long and from which random state.
        folder: to write to.
        progress: takes a line.

    Raises:
        ConfigError: too little was measured.
        MissingExtraError: the extra ``train`` is absent.
    """
    network.tensorflow(settings.seed)
    before = stored.channels[:, :split]
    panel = Panel(application, before, stored.start_s, np.ones(len(before)), split)
    how = servers_fit.Settings(settings.epochs, settings.seed)
    model, _, drawn = servers_fit.fit_panel(panel, settings.windows, how, progress)
    name = "site" if application == ALL else quote(application, safe="")
    until = from_epoch_s(stored.start_s + split * STEP_S).isoformat()
    written = export.unscored(model, folder / MODEL, name, application, until, drawn.input)
    written |= {"series": len(before), "epochs": settings.epochs, "seed": settings.seed}
    manifest.write(folder / MANIFEST, written)
    return written
