"""The network: two LSTM layers, quantiles of the change from now, pinball loss."""

import importlib
import os
from typing import Any

import numpy as np

from wattcast_core.errors import MissingExtraError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import HORIZON, INPUTS, WINDOW, Float32Array

UNITS = 48
BATCH = 256
_RATE = 3e-3
_RECENT_STEPS = 16
_COARSE_STEPS = 8
_HIDDEN = 64


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


def network(*, unroll: bool = False) -> Any:
    """Build the Keras model: [n, WINDOW, inputs] -> [n, HORIZON, quantiles].

    Beside the LSTM's last state the head sees the newest steps and the window's coarse shape, which
    an LSTM of this size remembers badly.
    """
    keras = importlib.import_module("keras")
    layers = keras.layers

    x = keras.Input((WINDOW, len(INPUTS)), name="window")
    state = layers.LSTM(UNITS, return_sequences=True, unroll=unroll)(x)
    state = layers.LSTM(UNITS, unroll=unroll)(state)
    recent = layers.Dense(UNITS, activation="relu")(layers.Flatten()(x[:, -_RECENT_STEPS:]))
    shape = layers.Flatten()(layers.AveragePooling1D(_COARSE_STEPS)(x[:, :, :1]))
    joined = layers.Concatenate()([state, recent, shape, layers.Flatten()(x[:, -1:])])
    hidden = layers.Dense(_HIDDEN, activation="relu")(joined)
    out = layers.Dense(HORIZON * len(QUANTILES))(hidden)
    return keras.Model(x, layers.Reshape((HORIZON, len(QUANTILES)))(out))


def fit(
    x: Float32Array, scaled: Float32Array, weight: Float32Array, *, epochs: int, seed: int
) -> Any:
    """Train on [n, WINDOW, inputs] and changes [n, HORIZON]; returns the Keras model."""
    tf = tensorflow(seed)
    keras = importlib.import_module("keras")

    levels = np.asarray(QUANTILES, np.float32)

    def pinball(y: Any, q: Any) -> Any:
        miss = y[:, :, None] - q
        return tf.reduce_mean(tf.maximum(levels * miss, (levels - 1.0) * miss), axis=(1, 2))

    model = network()
    steps = max(1, epochs * -(-len(x) // BATCH))
    rate = keras.optimizers.schedules.CosineDecay(_RATE, steps, alpha=0.02)
    model.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=1.0), loss=pinball)
    model.fit(x, scaled, sample_weight=weight, batch_size=BATCH, epochs=epochs, verbose=2)
    return model
