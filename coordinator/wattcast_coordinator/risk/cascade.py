"""What follows from a loss until nothing trips any more: trips, transfers, and what goes dark.

All cases advance together, each to its own next trip. A trip opens a breaker or switches a UPS
off (the node is lost), or puts a UPS on its static bypass (the node stays, on another curve, with
nothing left that would protect its load).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattcast_coordinator.risk.nminus import Moments
from wattcast_coordinator.risk.trip import TripCurve, trip_time_s, wear_until
from wattcast_coordinator.topology.buckets import Gather
from wattcast_coordinator.topology.instance import IntArray
from wattcast_coordinator.topology.matrices import Matrices, build, sums
from wattcast_coordinator.topology.network import Network
from wattcast_core.units import FloatArray

MAX_ROUNDS = 64
_CASES = 256  # followed together
_SAME_S = 1e-6


@dataclass(frozen=True, slots=True)
class Protection:
    """What trips at a node.

    Attributes:
        rating_w: to which the curve refers.
        curve: in normal operation.
        bypass: on the static bypass; None where it bears as much as its upstream breaker.
    """

    node: int
    rating_w: float
    curve: TripCurve
    bypass: TripCurve | None = None


@dataclass(frozen=True, slots=True)
class Trip:
    """A trip in a cascade: ``state`` is ``open``, ``bypass`` or ``off``."""

    at_s: float
    node: int
    state: str


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How a case ends.

    Attributes:
        trips: in order.
        dark: servers without supply at the end.
        stable: False if trips went on beyond ``MAX_ROUNDS``.
    """

    trips: tuple[Trip, ...]
    dark: IntArray
    stable: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What all cases have in common.

    Attributes:
        network: the room.
        out: nodes out of service in every case.
        gathered: how servers enter the buckets' sums.
        servers: their forecasts.
        z: load counts at this many standard deviations above the mean.
        step_s: length of a step.
        protections: what may trip.
    """

    network: Network
    out: IntArray
    gathered: Gather
    servers: Moments
    z: float
    step_s: float
    protections: tuple[Protection, ...]


def follow(situation: Situation, lost: Sequence[IntArray]) -> list[Outcome]:
    """Follow each case, which begins with the loss of some nodes, until nothing trips."""
    out: list[Outcome] = []
    for at in range(0, len(lost), _CASES):
        out += _Batch(situation, lost[at : at + _CASES]).run()
    return out


class _Batch:
    """Some cases that advance together; D devices, K cases."""

    def __init__(self, situation: Situation, lost: Sequence[IntArray]) -> None:
        self._s = situation
        self._lost = [np.asarray(nodes) for nodes in lost]
        devices, cases = len(situation.protections), len(lost)
        self._node = np.array([p.node for p in situation.protections], np.int64)
        self._rating_w = np.array([p.rating_w for p in situation.protections])
        self._worn = np.zeros((cases, devices))
        self._bypass = np.zeros((cases, devices), bool)
        self._now_s = np.zeros(cases)
        self._trips: list[list[Trip]] = [[] for _ in lost]
        self._outcome: list[Outcome | None] = [None] * cases
        self._preload = self._loads(self._build([]), 1)[0, :, 0] / self._rating_w

    def run(self) -> list[Outcome]:
        """Advance until every case has come to rest."""
        active = np.arange(len(self._lost))
        for _ in range(MAX_ROUNDS):
            if not len(active):
                break
            matrices = self._build([self._lost[case] for case in active])
            at_s = self._advance(matrices, active)
            for place in np.flatnonzero(np.isinf(at_s)).tolist():
                self._finish(int(active[place]), matrices.dark_servers(1 + place))
            active = active[np.isfinite(at_s)]
        if len(active):
            matrices = self._build([self._lost[case] for case in active])
            for number, case in enumerate(active.tolist()):
                self._finish(case, matrices.dark_servers(1 + number))
                self._outcome[case] = replace(self._done(case), stable=False)
        return [self._done(case) for case in range(len(self._lost))]

    def _build(self, lost: list[IntArray]) -> Matrices:
        return build(self._s.network, lost, self._s.out)

    def _finish(self, case: int, dark: IntArray) -> None:
        self._outcome[case] = Outcome(tuple(self._trips[case]), dark)

    def _done(self, case: int) -> Outcome:
        outcome = self._outcome[case]
        if outcome is None:
            raise AssertionError("a case was not followed")  # ``run`` finishes all
        return outcome

    def _advance(self, matrices: Matrices, active: IntArray) -> FloatArray:
        """[cases] time of each case's next trip, which is carried out; infinite = at rest."""
        ratio = self._loads(matrices, 1 + len(active))[1:] / self._rating_w[:, None]
        times_s = self._borne_s(ratio, active)
        start_s, step_s = self._now_s[active][:, None], self._s.step_s
        worn = self._worn[active]
        due_s = trip_time_s(times_s, step_s, start_s=start_s, worn=worn)
        next_s = due_s.min(1, initial=np.inf)
        going = np.flatnonzero(np.isfinite(next_s))
        until_s = np.broadcast_to(next_s[going, None], due_s[going].shape)
        self._worn[active[going]] += wear_until(times_s[going], step_s, start_s[going], until_s)
        self._now_s[active[going]] = next_s[going]
        for place, device in np.argwhere(due_s[going] <= next_s[going, None] + _SAME_S):
            self._trip(int(active[going[place]]), int(device))
        return np.asarray(next_s)

    def _trip(self, case: int, device: int) -> None:
        protection = self._s.protections[device]
        on_bypass = bool(self._bypass[case, device])
        curve = protection.bypass if on_bypass and protection.bypass else protection.curve
        state = "off" if on_bypass and curve.then == "bypass" else curve.then
        self._trips[case].append(Trip(float(self._now_s[case]), protection.node, state))
        self._worn[case, device] = 0.0
        if state == "bypass":
            self._bypass[case, device] = True
        else:
            self._lost[case] = np.append(self._lost[case], protection.node)

    def _loads(self, matrices: Matrices, cases: int) -> FloatArray:
        """[cases,D,H] quantile loads of the devices; 0 at dead ones."""
        s = self._s
        base, base_v, rows, rows_v = sums(
            matrices, s.gathered, s.servers.values, s.servers.variance
        )
        device = np.full(len(s.network), -1)
        device[self._node] = np.arange(len(self._node))
        present = Moments(base, base_v, s.servers.growth)[self._node].quantile_w(s.z)
        out = np.repeat(present[None], cases, axis=0)
        used = np.flatnonzero(device[matrices.node] >= 0)
        changed = Moments(rows, rows_v, s.servers.growth)[used].quantile_w(s.z)
        out[matrices.case[used], device[matrices.node[used]]] = changed
        return out * matrices.feeding.live[self._node].T[:, :, None]

    def _borne_s(self, ratio: FloatArray, active: IntArray) -> FloatArray:
        """[cases,D,H] time that each device bears each step's load."""
        out = np.full(ratio.shape, np.inf)
        bypass = self._bypass[active]
        for curve, devices in self._by_curve(on_bypass=False).items():
            self._fill(out, ratio, curve, devices, ~bypass)
        for curve, devices in self._by_curve(on_bypass=True).items():
            self._fill(out, ratio, curve, devices, bypass)
        return out

    def _fill(
        self, out: FloatArray, ratio: FloatArray, curve: TripCurve, devices: IntArray,
        where: np.ndarray,
    ) -> None:  # fmt: skip
        case, at = np.nonzero(where[:, devices] & (ratio[:, devices].max(2) >= curve.ratio[0]))
        device = devices[at]
        preload = self._preload[device][:, None]
        out[case, device] = curve.time_s(ratio[case, device], preload)

    def _by_curve(self, *, on_bypass: bool) -> dict[TripCurve, IntArray]:
        groups: dict[TripCurve, list[int]] = {}
        for device, protection in enumerate(self._s.protections):
            curve = protection.bypass if on_bypass else protection.curve
            if curve is not None:
                groups.setdefault(curve, []).append(device)
        return {curve: np.array(devices) for curve, devices in groups.items()}
