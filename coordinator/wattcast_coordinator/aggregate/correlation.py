"""How strongly servers' powers move together: one common factor and one an application.

The factors have a stable identity (an application's name), so that loadings are comparable over
time; no decomposition. Correlations are mean pairwise ones of standardised one-step increments,
clipped at 4 deviations (a migration is no noise), and shrunk towards PRIOR with the weight of
PRIOR_STEPS steps: the effective sample is the number of steps, not of servers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.topology.instance import IntArray
from wattcast_core.units import FloatArray

PRIOR = 0.3  # assumed where nothing is known: between independence and servers in step
PRIOR_STEPS = 8.0
LEAST_STEPS = 24
_CEILING = 0.95
_CLIP = 4.0


@dataclass(frozen=True, slots=True)
class Correlation:
    """Shares of variance on factors.

    Attributes:
        common: on the factor that all share.
        application: [A] on each application's own factor, besides the common one.
        steps: increments that this rests on; 0 = assumed.
    """

    common: float
    application: FloatArray
    steps: int


def estimate(
    servers: Sequence[str],
    application: IntArray,
    count: int,
    recent_w: Mapping[str, Sequence[float]],
) -> Correlation:
    """Correlation of servers' increments.

    Args:
        servers: names, by index.
        application: [S] index of each server's application, -1 = none.
        count: number of applications A.
        recent_w: recent power of servers, oldest first, on one step.
    """
    increments = _increments(servers, recent_w)
    usable = np.isfinite(increments).sum(1) >= LEAST_STEPS
    if usable.sum() < 2:
        return Correlation(PRIOR, np.zeros(count), 0)
    scores = _standardised(increments[usable])
    steps = int(np.isfinite(increments[usable]).sum(1).min())
    pairs = scores @ scores.T / np.maximum(np.sqrt(_counts(scores)), 1e-9)
    group = application[usable]
    same = group[:, None] == group[None, :]
    apart = ~np.eye(len(group), dtype=bool)
    common = _shrunk(pairs[~same], steps) if (~same).any() else 0.0
    own = np.zeros(count)
    for index in range(count):
        inside = apart & same & (group == index)[:, None]
        if inside.any():
            own[index] = min(max(_shrunk(pairs[inside], steps) - common, 0.0), _CEILING - common)
    return Correlation(common, own, steps)


def _increments(servers: Sequence[str], recent_w: Mapping[str, Sequence[float]]) -> FloatArray:
    """[S, T] aligned at the newest step; NaN where not known."""
    length = max((len(recent_w.get(name, ())) for name in servers), default=0)
    power_w = np.full((len(servers), max(length, 1)), np.nan)
    for row, name in enumerate(servers):
        known = recent_w.get(name, ())
        if known:
            power_w[row, -len(known) :] = known
    return np.diff(power_w, axis=1)


def _standardised(increments: FloatArray) -> FloatArray:
    centre = np.nanmedian(increments, axis=1, keepdims=True)
    away = increments - centre
    robust = 1.4826 * np.nanmedian(np.abs(away), axis=1, keepdims=True)
    spread = np.where(robust > 0, robust, np.nanstd(increments, axis=1, keepdims=True))
    scores = np.clip(away / np.where(spread > 0, spread, np.inf), -_CLIP, _CLIP)
    scores = np.nan_to_num(scores)
    return np.asarray(scores - scores.mean(1, keepdims=True))


def _counts(scores: FloatArray) -> FloatArray:
    """[S, S] product of the squared norms, so that a server's correlation with itself is 1."""
    norm = (scores**2).sum(1)
    return np.asarray(norm[:, None] * norm[None, :])


def _shrunk(pairs: FloatArray, steps: int) -> float:
    rho = (steps * float(pairs.mean()) + PRIOR_STEPS * PRIOR) / (steps + PRIOR_STEPS)
    return min(max(rho, 0.0), _CEILING)
