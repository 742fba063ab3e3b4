"""All single losses at once: quantile loads, probabilities over the limit, and the N-1 margin.

The room as it is is judged against continuous limits, a loss against emergency limits. A node
that no loss adds load to keeps its present load after a loss, and is judged with it once.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from wattcast_coordinator.topology.buckets import Gather
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_coordinator.topology.matrices import Matrices, sums
from wattcast_core.units import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Forecast loads (of servers, or of nodes in cases) over H steps, with R common factors.

    Attributes:
        values: [..,H+R] expected power beside the loadings on the common factors.
        variance: [..] own variance, W squared.
        growth: [H] how deviations widen with the horizon.
    """

    values: FloatArray
    variance: FloatArray
    growth: FloatArray

    def __add__(self, other: "Moments") -> "Moments":
        """Loads added up row by row; what is behind them must not overlap."""
        return replace(
            self, values=self.values + other.values, variance=self.variance + other.variance
        )

    def __getitem__(self, rows: IntArray | BoolArray) -> "Moments":
        return replace(self, values=self.values[rows], variance=self.variance[rows])

    @property
    def mean_w(self) -> FloatArray:
        """[..,H] expected power."""
        return self.values[..., : len(self.growth)]

    def sigma_w(self) -> FloatArray:
        """[..] deviation at growth 1."""
        factor_w = self.values[..., len(self.growth) :]
        own = np.maximum(self.variance, 0.0)
        return np.asarray(np.sqrt(np.einsum("...r,...r->...", factor_w, factor_w) + own))

    def quantile_w(self, z: float) -> FloatArray:
        """[..,H] load at ``z`` standard deviations above the mean."""
        return np.asarray(self.mean_w + (z * self.sigma_w())[..., None] * self.growth)

    def p_over(self, limit_w: FloatArray) -> FloatArray:
        """[..,H] probability that the load exceeds ``limit_w`` [..], of a normal curve."""
        sigma_w = np.maximum(self.sigma_w()[..., None] * self.growth, 1e-9)
        return np.asarray(ndtr((self.mean_w - limit_w[..., None]) / sigma_w))


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Limits [N] in watts, and the margins in standard deviations that must keep them.

    Attributes:
        base_w, z_base: continuous limit, in the room as it is.
        n1_w, z_n1: emergency limit, while a loss stands.
    """

    base_w: FloatArray
    n1_w: FloatArray
    z_base: float
    z_n1: float


@dataclass(frozen=True, slots=True, eq=False)
class SingleLosses:
    """Loads of every node as the room is, and of those that a loss adds load to.

    Attributes:
        base: loads of the N nodes.
        rows: loads of the R rows (``matrices.case``, ``matrices.node``).
    """

    matrices: Matrices
    limits: Limits
    base: Moments
    rows: Moments

    def over(self) -> BoolArray:
        """[R] rows whose quantile exceeds the emergency limit in some step."""
        limit_w = self.limits.n1_w[self.matrices.node]
        return np.asarray(self.rows.quantile_w(self.limits.z_n1).max(1) > limit_w)

    def margin_w(self) -> FloatArray:
        """[N] least headroom below the emergency limit over all losses and steps."""
        limits, node = self.limits, self.matrices.node
        margin_w = limits.n1_w - self.base.quantile_w(limits.z_n1).max(1)
        headroom_w = limits.n1_w[node] - self.rows.quantile_w(limits.z_n1).max(1)
        np.minimum.at(margin_w, node, headroom_w)
        return np.asarray(margin_w)


def assess(
    matrices: Matrices,
    gathered: Gather,
    servers: Moments,
    limits: Limits,
    *,
    prune: bool = False,
    every: bool = False,
) -> SingleLosses:
    """Loads in all cases.

    Args:
        matrices: of the room and its contingencies.
        gathered: how servers enter the buckets' sums.
        servers: their forecasts.
        limits: of the nodes.
        prune: leave rows out that others stand for (not if a loading is negative: then a larger
            share may mean a smaller deviation, and all rows are kept).
        every: keep the rows that a loss relieves, too (for pairs of losses).
    """
    hedged = bool((servers.values[:, len(servers.growth) :] < 0).any())
    chosen = matrices if every else matrices.adding
    if prune and not hedged:
        chosen = matrices.undominated
    base, base_v, rows, rows_v = sums(chosen, gathered, servers.values, servers.variance)
    return SingleLosses(
        chosen,
        limits,
        Moments(base, base_v, servers.growth),
        Moments(rows, rows_v, servers.growth),
    )
