"""The network: an LSTM over the newest steps, one decoder for all steps ahead, pinball loss.

A member reads the newest steps with an LSTM, joins its last state with the context of the series,
and decodes each step of the horizon with what is particular to it. Each quantile is a mixture of
the candidates (weights from the decoder, sum 1) plus the decoder's own correction: a job that runs
by the clock is copied, not approximated. The model that is served is the mean of a few members,
each of which left out another part of the data.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any

from wattcast_core.errors import MissingExtraError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import (
    AHEAD,
    CANDIDATES,
    CONTEXT,
    RECENT,
)
from wattcast_core.signal.steps import HORIZON, WINDOW

LSTM, GRU, NO_CELL, LINEAR = "LSTM", "GRU", "none", "linear"  # what may read the newest steps
UNITS = 24
NEWEST = 6  # steps that the head sees directly beside the LSTM's state
JOINT, DECODER = 96, 64


def tensorflow(seed: int) -> Any:
    """TensorFlow, made repeatable.

    Raises:
        MissingExtraError: it is absent.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        keras, tf = (importlib.import_module(name) for name in ("keras", "tensorflow"))
    except ImportError as error:
        raise MissingExtraError("tensorflow", "train") from error
    keras.utils.clear_session()  # layers count anew: their names are in the exported file
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return tf


def inputs() -> dict[str, Any]:
    """Keras inputs by the names of ``ModelInput.parts``."""
    keras = importlib.import_module("keras")
    shapes = {
        "recent": (WINDOW, len(RECENT)),
        "context": (len(CONTEXT),),
        "ahead": (HORIZON, len(AHEAD)),
        "candidates": (HORIZON, len(CANDIDATES)),
    }
    return {name: keras.Input(shape, name=name) for name, shape in shapes.items()}


def member(given: Mapping[str, Any], *, cell: str = LSTM) -> Any:
    """One network on given inputs: [n, HORIZON, quantiles] scaled changes."""
    if cell == LINEAR:
        return _linear(given)
    layers = importlib.import_module("keras").layers
    recent = given["recent"]
    newest = layers.Flatten()(recent[:, -NEWEST:])
    state = [] if cell == NO_CELL else [getattr(layers, cell)(UNITS)(recent)]
    joined = layers.Concatenate()([*state, newest, given["context"]])
    joint = layers.Dense(JOINT, activation="relu")(joined)
    # As a dense layer on both joined, but what is the same for all steps is computed once.
    same, own = layers.Dense(DECODER)(joint), layers.Dense(DECODER, use_bias=False)(given["ahead"])
    step = layers.ReLU()(layers.Add()([layers.Reshape((1, DECODER))(same), own]))
    step = layers.Dense(DECODER // 2, activation="relu")(step)
    count, guesses = len(QUANTILES), given["candidates"]
    copied = mixture(layers.Dense(count * guesses.shape[-1])(step), guesses)
    return layers.Add()([layers.Dense(count)(step), copied])


def _linear(given: Mapping[str, Any]) -> Any:
    """Linear quantile regression on the same inputs, for comparison."""
    layers, count = importlib.import_module("keras").layers, len(QUANTILES)
    flat = layers.Concatenate()([layers.Flatten()(given["recent"]), given["context"]])
    whole = layers.Reshape((HORIZON, count))(layers.Dense(HORIZON * count)(flat))
    hints = layers.Concatenate()([given["ahead"], given["candidates"]])
    return layers.Add()([whole, layers.Dense(count)(hints)])


def mixture(scores: Any, guesses: Any) -> Any:
    """[n, HORIZON, quantile]: means of candidates with the softmax of the scores as weights.

    Args:
        scores: [n, HORIZON, quantiles * candidates].
        guesses: [n, HORIZON, candidates].
    """
    keras = importlib.import_module("keras")
    layers, count = keras.layers, guesses.shape[-1]
    weights = layers.Softmax()(layers.Reshape((HORIZON, len(QUANTILES), count))(scores))
    column = layers.Reshape((HORIZON, count, 1))(guesses)
    return layers.Reshape((HORIZON, len(QUANTILES)))(keras.ops.matmul(weights, column))


def ensemble(count: int, *, cell: str = LSTM) -> tuple[Any, list[Any]]:
    """The model that is served, the mean of its members' answers, and the members to train."""
    keras = importlib.import_module("keras")
    given = inputs()
    answers = [member(given, cell=cell) for _ in range(count)]
    mean = keras.layers.Average()(answers) if count > 1 else answers[0]
    ends = [*given.values()]
    return keras.Model(ends, mean), [keras.Model(ends, answer) for answer in answers]


def unrolled(model: Any) -> Any:
    """A copy whose recurrent layers are unrolled."""
    keras = importlib.import_module("keras")

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | ({"unroll": True} if "unroll" in config else {}))

    clone = keras.models.clone_model(model, clone_function=copied)
    clone.set_weights(model.get_weights())
    return clone
