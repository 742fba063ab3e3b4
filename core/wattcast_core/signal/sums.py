"""Forecasts of sums: what a rack, a feed or a room will draw, from its servers' forecasts.

A quantile of a sum is not the sum of quantiles. The servers' forecasts say which of them will move
(their medians add up) and how far (their spreads add up if they move together, in squares if not);
the sum's own history says how together they move. A small network, the same for sums of any size,
weighs these: hidden layers of a few dozen units, evaluated in numpy, a mean of members. Each
quantile is a mixture of candidates plus a correction, as in the servers' network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np

from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import Float32Array, ModelInput
from wattcast_core.signal.quantiles import ordered
from wattcast_core.units import FloatArray

MEMBERS = (  # of the servers' changes from now, in scales of the sum
    "medians",
    "means",
    "spreads_up",
    "spreads_down",
    "spreads_up_apart",
    "spreads_down_apart",
    "far_apart",
    "beyond",
)
_GUESSES = 2  # of MEMBERS, that the network may copy
_LOW, _MEDIAN, _Q90, _Q99 = range(len(QUANTILES))
_MEAN = np.array((0.3, 0.4, 0.3, 0.0))  # weights of the quantiles in a mean (Swanson's rule)
_Z = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])


def members(
    quantiles_w: FloatArray, now_w: FloatArray, shares: FloatArray, scale_w: FloatArray
) -> FloatArray:
    """What servers' forecasts say of each sum.

    Args:
        quantiles_w: [server, HORIZON, 4]; NaN where there is no forecast: that server stays as it
            is.
        now_w: [server] power the forecasts start from.
        shares: [sum, server] of each server's power that counts.
        scale_w: [sum] watts a unit.

    Returns:
        [sum, HORIZON, len(MEMBERS)].
    """
    change = np.nan_to_num(quantiles_w - now_w[:, None, None], nan=0.0)
    up = change[..., _Q90] - change[..., _MEDIAN]
    down = change[..., _MEDIAN] - change[..., _LOW]
    far = change[..., _Q99] - change[..., _MEDIAN]

    def apart(spread: FloatArray) -> FloatArray:
        return np.sqrt(np.asarray(shares**2 @ spread**2, np.float64))

    together = [shares @ of for of in (change[..., _MEDIAN], change @ _MEAN, up, down)]
    parts = [*together, apart(up), apart(down), apart(far), shares @ (far - up)]
    return np.stack(parts, axis=2) / scale_w[:, None, None]


def added(
    quantiles_w: FloatArray, now_w: FloatArray, shares: FloatArray, sum_w: FloatArray, rho: float
) -> FloatArray:
    """[sum, HORIZON, 4] watts of near-normal sums whose servers correlate by ``rho``.

    Args:
        quantiles_w: as in ``members``.
        now_w: as in ``members``.
        shares: as in ``members``.
        sum_w: [sum] power of the sums now.
        rho: share of each variance that all have in common, 0..1.
    """
    change = np.nan_to_num(quantiles_w - now_w[:, None, None], nan=0.0)
    above = change - change[..., _MEDIAN : _MEDIAN + 1]
    sigma = 0.5 * (above[..., _Q90] / _Z[_Q90] + above[..., _Q99] / _Z[_Q99])
    variance = rho * (shares @ sigma) ** 2 + (1.0 - rho) * (shares**2 @ sigma**2)
    median = sum_w[:, None] + shares @ change[..., _MEDIAN]
    out: FloatArray = median[..., None] + np.sqrt(variance)[..., None] * _Z
    return out


def parts(
    inputs: ModelInput, of_members: FloatArray, shares: FloatArray
) -> dict[str, Float32Array]:
    """The network's inputs by name.

    Args:
        inputs: of the sums' own power.
        of_members: [sum, HORIZON, len(MEMBERS)].
        shares: [sum, server].
    """
    size = shares.sum(axis=1) ** 2 / np.maximum((shares**2).sum(axis=1), 1e-9)
    ahead = np.concatenate([inputs.ahead, np.arcsinh(of_members)], axis=2)
    guesses = np.concatenate([inputs.candidates, of_members[..., :_GUESSES]], axis=2)
    return {
        "context": np.column_stack([inputs.context, np.log10(size)]).astype(np.float32),
        "ahead": ahead.astype(np.float32),
        "candidates": guesses.astype(np.float32),
    }


@dataclass(frozen=True, slots=True)
class SumNetwork:
    """Weights; the first axis is the member. Layers: x @ kernel + bias, then ReLU.

    Attributes:
        state, state_bias: context -> hidden.
        first, first_bias: hidden and ahead -> hidden.
        second, second_bias: hidden -> hidden.
        own, own_bias: hidden -> correction of each quantile.
        choice, choice_bias: hidden -> weights of the candidates, for each quantile.
    """

    state: Float32Array
    state_bias: Float32Array
    first: Float32Array
    first_bias: Float32Array
    second: Float32Array
    second_bias: Float32Array
    own: Float32Array
    own_bias: Float32Array
    choice: Float32Array
    choice_bias: Float32Array

    def arrays(self) -> Mapping[str, Float32Array]:
        """Weights by name, as they are kept in a file."""
        return {of.name: getattr(self, of.name) for of in fields(self)}

    def predict(self, given: Mapping[str, Float32Array]) -> FloatArray:
        """Scaled quantiles [sum, HORIZON, 4], ordered, of ``parts``."""
        context, ahead = given["context"], given["ahead"]
        state = _relu(context[None] @ self.state + self.state_bias[:, None])
        steps = ahead.shape[1]
        wide = np.broadcast_to(state[:, :, None], (*state.shape[:2], steps, state.shape[2]))
        both = [wide, np.broadcast_to(ahead, (len(state), *ahead.shape))]
        hidden = np.concatenate(both, axis=3)
        for kernel, bias in ((self.first, self.first_bias), (self.second, self.second_bias)):
            hidden = _relu(hidden @ kernel[:, None] + bias[:, None, None])
        own = hidden @ self.own[:, None] + self.own_bias[:, None, None]
        score = hidden @ self.choice[:, None] + self.choice_bias[:, None, None]
        score = score.reshape(*score.shape[:3], len(QUANTILES), -1)
        weight = np.exp(score - score.max(axis=4, keepdims=True))
        weight /= weight.sum(axis=4, keepdims=True)
        copied = (weight * given["candidates"][None, :, :, None]).sum(axis=4)
        return ordered(np.asarray((own + copied).mean(axis=0), np.float64))


def _relu(x: Float32Array) -> Float32Array:
    return np.maximum(x, np.float32(0.0))
