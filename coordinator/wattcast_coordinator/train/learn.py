"""Training of a network on windows: pinball loss, early stopping on what it leaves out."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import Float32Array
from wattcast_core.signal.gaps import BoolArray

BATCH = 256
_PATIENCE = 3  # epochs without a better loss on what is left out
_LAST_RATE = 0.01  # share of the first, by a cosine


@dataclass(frozen=True, slots=True)
class Rows:
    """What to learn from.

    Attributes:
        given: the network's inputs by name, in its order, [n, ...].
        scaled: [n, HORIZON] changes that followed.
        weight: [n] of each row's loss.
        left_out: [n] rows that only decide when to stop.
    """

    given: Mapping[str, Float32Array]
    scaled: Float32Array
    weight: Float32Array
    left_out: BoolArray

    def part(self, which: BoolArray) -> tuple[list[Float32Array], Float32Array, Float32Array]:
        """Inputs, changes and weights of some rows."""
        return [of[which] for of in self.given.values()], self.scaled[which], self.weight[which]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the rows at most.
        seed: of the order of rows.
        rate: learning rate to begin with.
        told: begins each line of progress.
        resume: folder for the state of an interrupted training, or None.
    """

    epochs: int
    seed: int
    rate: float
    told: str
    resume: Path | None = None


def fit(model: Any, rows: Rows, plan: Plan, progress: Callable[[str], None]) -> None:
    """Train in place; the weights of the epoch that was best on what is left out stay.

    Args:
        model: Keras, inputs -> [n, HORIZON, quantiles].
        rows: what to learn from.
        plan: how long, and from which random state.
        progress: told after each epoch.
    """
    keras = importlib.import_module("keras")
    keras.utils.set_random_seed(plan.seed)
    learned, left_out = ~rows.left_out, rows.left_out
    steps = max(1, plan.epochs * -(-int(learned.sum()) // BATCH))
    rate = keras.optimizers.schedules.CosineDecay(plan.rate, steps, alpha=_LAST_RATE)
    model.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=1.0), loss=_pinball())

    def tell(epoch: int, logs: Mapping[str, float]) -> None:
        losses = ", ".join(f"{name} {loss:.4f}" for name, loss in logs.items())
        progress(f"{plan.told} epoch {epoch + 1}/{plan.epochs}: {losses}")

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=tell)]
    if left_out.any():
        stop = keras.callbacks.EarlyStopping(patience=_PATIENCE, restore_best_weights=True)
        callbacks.append(stop)
    if plan.resume is not None:
        callbacks.append(keras.callbacks.BackupAndRestore(str(plan.resume)))
    x, y, weight = rows.part(learned)
    model.fit(
        x,
        y,
        sample_weight=weight,
        batch_size=BATCH,
        epochs=plan.epochs,
        verbose=0,
        validation_data=rows.part(left_out) if left_out.any() else None,
        callbacks=callbacks,
    )


def _pinball() -> Callable[[Any, Any], Any]:
    tf = importlib.import_module("tensorflow")
    levels = np.asarray(QUANTILES, np.float32)

    def loss(y: Any, q: Any) -> Any:
        miss = y[:, :, None] - q
        return tf.reduce_mean(tf.maximum(levels * miss, (levels - 1.0) * miss), axis=(1, 2))

    return loss
