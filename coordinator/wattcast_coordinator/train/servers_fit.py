"""The servers' model: an ensemble of networks, each of which leaves out other blocks of time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_coordinator.train import dataset, learn, network
from wattcast_coordinator.train.dataset import Examples
from wattcast_coordinator.train.folds import MEMBERS
from wattcast_coordinator.train.recordings import Panel
from wattcast_core.errors import ConfigError
from wattcast_core.signal.features import Float32Array

_RATE = 4e-3
_HEAVIEST = 5.0  # times the mean weight
_LEAST_WINDOWS = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over the windows at most.
        seed: of weights and order.
        cell: what reads the newest steps: ``network.LSTM``; the others are there to compare.
        resume: folder for the state of an interrupted training, or None.
    """

    epochs: int
    seed: int
    cell: str = "LSTM"
    resume: Path | None = None


def fit(
    examples: Examples,
    weight: Float32Array,
    settings: Settings,
    progress: Callable[[str], None],
) -> tuple[Any, list[Any]]:
    """Train; the model that is served and its members, in the order of their folds.

    Raises:
        MissingExtraError: the extra ``train`` is absent.
    """
    network.tensorflow(settings.seed)
    model, members = network.ensemble(MEMBERS, cell=settings.cell)
    given = examples.input.parts()
    for k, member in enumerate(members):
        plan = learn.Plan(
            epochs=settings.epochs,
            seed=settings.seed + k,
            rate=_RATE,
            told=f"servers {k + 1}/{MEMBERS}",
            resume=settings.resume / f"member{k}" if settings.resume else None,
        )
        rows = learn.Rows(given, examples.scaled, weight, examples.fold == k)
        learn.fit(member, rows, plan, progress)
    return model, members


def fit_panel(
    servers: Panel, windows: int, settings: Settings, progress: Callable[[str], None]
) -> tuple[Any, list[Any], Examples]:
    """Train on servers that will be forecast, too: before ``servers.train_steps``.

    Returns:
        As of ``fit``, and the windows that were learned from.

    Raises:
        ConfigError: too little was measured.
        MissingExtraError: the extra ``train`` is absent.
    """
    progress(f"drawing {windows} windows of servers")
    rng = np.random.default_rng(settings.seed)
    drawn = dataset.draw(servers, windows, rng, held_out=False, augment=dataset.PANEL)
    if len(drawn) < min(windows, _LEAST_WINDOWS):
        raise ConfigError(
            f"{len(drawn)} windows of six hours and an hour ahead are known,"
            f" {_LEAST_WINDOWS} are needed; remedy: more days to learn from"
        )
    scale = drawn.input.scale_w  # losses count in watts: lively servers weigh more
    weight = np.asarray(np.minimum(scale / scale.mean(), _HEAVIEST), np.float32)
    return *fit(drawn, weight, settings, progress), drawn
