"""The network of sums: learned from the servers' honest forecasts on what each member left out.

A panel has few racks and feeds, but as many sums as one likes: random groups of servers of any
size, some with a share of each server as a feed has it, learn along.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattcast_coordinator.train import dataset, learn, network
from wattcast_coordinator.train.dataset import Places
from wattcast_coordinator.train.folds import MEMBERS, fold_of
from wattcast_coordinator.train.recordings import Panel
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal import sums
from wattcast_core.signal.features import CHANNELS, Float32Array
from wattcast_core.signal.quantiles import ordered
from wattcast_core.signal.steps import DAY, HORIZON
from wattcast_core.signal.sums import SumNetwork
from wattcast_core.units import FloatArray

_GROUPS = 5  # random sums beside the real ones, drawn anew for each block
_BLOCKS = 40
_CHUNK = 16  # steps forecast at once
_SMALLEST = 4  # servers in a random sum
_WHOLE_SHARE = 0.6  # of random sums that carry their servers whole
_STATE, _FIRST, _SECOND = 24, 48, 24
_DROPOUT = 0.2
_EPOCHS = 5
_RATE = 1e-3
_SIZE_POWER = 0.8  # sums' scales grow so with their number of servers: losses count alike
_HEAVIEST = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """What sums are made of.

    Attributes:
        servers: recorded servers.
        filled_w: [server, step] their power without gaps.
        unknown: [step] where no sum is known.
        shares: [sum, server] of the real sums.
    """

    servers: Panel
    filled_w: FloatArray
    unknown: NDArray[np.bool_]
    shares: FloatArray


def fit(
    source: Source,
    members: list[Any],
    count: int,
    seed: int,
    progress: Callable[[str], None],
) -> SumNetwork | None:
    """Train; None where the panel is too short.

    Args:
        source: servers and sums, before the split only.
        members: Keras models of servers, in the order of their folds.
        count: steps to learn from at most.
        seed: of every random draw.
        progress: told of what is done.
    """
    rng = np.random.default_rng(seed)
    known = ~source.unknown & (np.arange(len(source.unknown)) >= DAY)
    known[-HORIZON:] = False
    steps = np.flatnonzero(known)
    if len(steps) < MEMBERS * _BLOCKS:
        return None
    steps = np.sort(rng.choice(steps, min(count, len(steps)), replace=False))
    progress(f"sums: forecasts of {len(source.filled_w)} servers at {len(steps)} steps")
    served_w = _honest(source.servers, members, steps)
    given, scaled, weight, at = _examples(source, served_w, steps, rng)
    fold = fold_of(at, source.servers.train_steps)
    trained = []
    for k in range(MEMBERS):
        model = network_of_sums(given)
        plan = learn.Plan(_EPOCHS, seed + k, _RATE, f"sums {k + 1}/{MEMBERS}")
        learn.fit(model, learn.Rows(given, scaled, weight, fold == k), plan, progress)
        trained.append(model)
    return weights_of(trained)


def _honest(servers: Panel, members: list[Any], steps: NDArray[np.int64]) -> FloatArray:
    """[step, server, HORIZON, 4] watts, each step by the member that left it out."""
    count = len(servers.channels)
    out = np.empty((len(steps), count, HORIZON, len(QUANTILES)))
    fold = fold_of(steps, servers.train_steps)
    for k, member in enumerate(members):
        mine = np.flatnonzero(fold == k)
        for first in range(0, len(mine), _CHUNK):
            rows = mine[first : first + _CHUNK]
            places = Places(np.tile(np.arange(count), len(rows)), np.repeat(steps[rows], count))
            inputs = dataset.inputs(servers, places)
            answer = np.asarray(member.predict_on_batch([*inputs.parts().values()]), np.float64)
            out[rows] = inputs.to_watts(ordered(answer)).reshape(len(rows), count, HORIZON, -1)
    return out


def _examples(
    source: Source, served_w: FloatArray, steps: NDArray[np.int64], rng: np.random.Generator
) -> tuple[dict[str, Float32Array], Float32Array, Float32Array, NDArray[np.int64]]:
    """Inputs by name, scaled changes, weights, and the step of each."""
    parts = []
    for rows in np.array_split(np.arange(len(steps)), min(_BLOCKS, len(steps))):
        shares = np.concatenate([source.shares, _random(rng, source.shares.shape[1])])
        parts.append(_block(source, served_w[rows], steps[rows], shares))
    given = {name: np.concatenate([p[0][name] for p in parts]) for name in parts[0][0]}
    scaled, weight, at = (np.concatenate([p[k] for p in parts]) for k in (1, 2, 3))
    good = np.isfinite(scaled).all(axis=1)
    weight = np.minimum(weight / weight[good].mean(), _HEAVIEST).astype(np.float32)
    given = {name: of[good] for name, of in given.items()}
    return given, scaled[good].astype(np.float32), weight[good], at[good]


def _random(rng: np.random.Generator, servers: int) -> FloatArray:
    """[_GROUPS, server] shares of random sums."""
    out = np.zeros((_GROUPS, servers))
    low, high = np.log((min(_SMALLEST, servers), servers))
    for row in out:
        size = max(1, round(float(np.exp(rng.uniform(low, high)))))
        whole = rng.random() < _WHOLE_SHARE
        share = np.clip(rng.normal(0.5, 0.2, size), 0.1, 1.0)
        row[rng.choice(servers, size, replace=False)] = 1.0 if whole else share
    return out


def _block(
    source: Source, served_w: FloatArray, steps: NDArray[np.int64], shares: FloatArray
) -> tuple[dict[str, Float32Array], FloatArray, FloatArray, NDArray[np.int64]]:
    total = shares @ source.filled_w
    total[:, source.unknown] = np.nan
    channels = np.full((*total.shape, len(CHANNELS)), np.nan)
    channels[:, :, 0] = total
    servers = source.servers
    ones = np.ones(len(shares))
    series = Panel("sums", channels, servers.start_s, ones, servers.train_steps)
    given, scaled = [], []
    for row, step in enumerate(steps.tolist()):
        inputs = dataset.inputs(series, _all(len(shares), step))
        now_w = source.filled_w[:, step]
        of_members = sums.members(served_w[row], now_w, shares, inputs.scale_w)
        given.append(sums.parts(inputs, of_members, shares))
        change = total[:, step + 1 : step + 1 + HORIZON] - inputs.anchor_w[:, None]
        known = np.where(inputs.age_steps == 0, inputs.scale_w, np.nan)
        scaled.append((change / known[:, None], inputs.scale_w / _size(shares)))
    by_name = {name: np.concatenate([of[name] for of in given]) for name in given[0]}
    changes, weights = (np.concatenate([of[k] for of in scaled]) for k in (0, 1))
    return by_name, changes, weights, np.repeat(steps, len(shares))


def _all(count: int, step: int) -> Places:
    return Places(np.arange(count), np.full(count, step))


def _size(shares: FloatArray) -> FloatArray:
    """[sum] by which a scale is divided so that small and large sums' losses count alike."""
    number: FloatArray = shares.sum(axis=1) ** 2 / (shares**2).sum(axis=1)
    return number**_SIZE_POWER


def network_of_sums(given: dict[str, Float32Array]) -> Any:
    """The network that ``SumNetwork.predict`` evaluates, its layers named as there."""
    keras = importlib.import_module("keras")
    layers, count = keras.layers, len(QUANTILES)
    ends = {name: keras.Input(of.shape[1:], name=name) for name, of in given.items()}
    guesses = ends["candidates"]
    state = layers.Dropout(_DROPOUT)(ends["context"])
    state = layers.Dense(_STATE, activation="relu", name="state")(state)
    hidden = layers.Concatenate()([layers.RepeatVector(HORIZON)(state), ends["ahead"]])
    for name, width in (("first", _FIRST), ("second", _SECOND)):
        hidden = layers.Dense(width, activation="relu", name=name)(hidden)
    own = layers.Dense(count, name="own")(hidden)
    scores = layers.Dense(count * guesses.shape[-1], name="choice")(hidden)
    answer = layers.Add()([own, network.mixture(scores, guesses)])
    return keras.Model([*ends.values()], answer)


def weights_of(models: list[Any]) -> SumNetwork:
    """Trained Keras models as one network, the mean of their answers."""
    arrays = {}
    for name in ("state", "first", "second", "own", "choice"):
        layers = [model.get_layer(name).get_weights() for model in models]
        for key, of in zip((name, f"{name}_bias"), zip(*layers, strict=True), strict=True):
            arrays[key] = np.stack(of).astype(np.float32)
    return SumNetwork(**arrays)
