"""The servers' model: an ensemble of networks, each of which leaves out other blocks of time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattcast_coordinator.train import learn, network
from wattcast_coordinator.train.dataset import Examples
from wattcast_coordinator.train.folds import MEMBERS
from wattcast_core.signal.features import Float32Array

_RATE = 4e-3


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
