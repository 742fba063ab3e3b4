"""When a device trips under a load that changes from step to step.

A device wears by ``dt / permitted(load)`` and trips at 1, at the very moment within a step: UPS
curves are far steeper than a step is long. (The same accumulation as in thermal relays, e.g. GE
L30 instruction manual, IEC 255-8 curves: ``E += dt / t_op(I)``.) Wear does not heal here: the safe
side. Earlier load shortens a thermal device's time by the factor of IEC 60255-149 (formerly
60255-8), ``ln((I^2 - Ip^2) / (I^2 - k^2)) / ln(I^2 / (I^2 - k^2))`` with ``Ip`` the load before
and ``k`` what it bears for ever.
"""

from dataclasses import dataclass

import numpy as np

from wattcast_configs.curve import Curve, Variant
from wattcast_core.units import FloatArray

_SHORTEST_S = 1e-3  # "at once"


@dataclass(frozen=True, slots=True)
class TripCurve:
    """A curve under known circumstances.

    Attributes:
        kind: as in ``Curve``.
        then: ``open``, ``bypass`` or ``off``.
        ratio: load over rating, rising; below the first the device bears the load for ever.
        permitted_s: earliest time until it trips, falling.
    """

    kind: str
    then: str
    ratio: tuple[float, ...]
    permitted_s: tuple[float, ...]

    def time_s(self, ratio: FloatArray, preload: FloatArray | float = 0.0) -> FloatArray:
        """Seconds until a trip at constant load; infinite below the curve.

        Args:
            ratio: load over rating.
            preload: the same before, of any shape that fits; matters to thermal devices.
        """
        known = np.maximum(np.asarray(ratio, float), 1e-9)
        times_s = np.maximum(self.permitted_s, _SHORTEST_S)
        if self.kind == "table":
            band = np.searchsorted(self.ratio, known, side="right") - 1
            out = times_s[np.maximum(band, 0)]
        else:
            out = np.exp(np.interp(np.log(known), np.log(self.ratio), np.log(times_s)))
        if self.kind == "thermal":
            out = out * self._warm(known, np.asarray(preload, float))
        return np.where(known < self.ratio[0], np.inf, out)

    def _warm(self, ratio: FloatArray, preload: FloatArray) -> FloatArray:
        borne = self.ratio[0] ** 2
        before = np.minimum(preload**2, 0.999 * borne)
        above = np.maximum(ratio**2, borne * (1 + 1e-9))
        hot = np.log((above - before) / (above - borne))
        return np.asarray(hot / np.log(above / (above - borne)))


NOTHING_PROMISED = TripCurve("table", "open", (1.0,), (0.0,))


def curve_for(curve: Curve, mode: str, ambient_c: float) -> TripCurve:
    """The curve in a mode and at an air temperature; where it has none, nothing is promised."""
    found = curve.at(mode, ambient_c)
    return compiled(curve, found) if found else NOTHING_PROMISED


def compiled(curve: Curve, variant: Variant) -> TripCurve:
    """One variant of a curve."""
    ratio, permitted_s = zip(*variant.points, strict=True)
    return TripCurve(curve.kind, variant.then or curve.then, ratio, permitted_s)


def trip_time_s(
    times_s: FloatArray,
    step_s: float,
    *,
    start_s: FloatArray | float = 0.0,
    worn: FloatArray | float = 0.0,
) -> FloatArray:
    """[M] when each device trips; infinite if not within the horizon.

    Args:
        times_s: [M,H] time that each device bears the load of each step.
        step_s: length of a step.
        start_s: from when on the load stands.
        worn: wear so far, 0..1.
    """
    begin_s, rate = _spans(times_s, step_s, start_s)
    wear = np.asarray(worn)[..., None] + np.cumsum(_wear(times_s, step_s, begin_s), axis=-1)
    over = wear >= 1.0
    step = over.argmax(-1)[..., None]
    before = np.take_along_axis(wear, step, -1) - np.take_along_axis(
        _wear(times_s, step_s, begin_s), step, -1
    )
    left = np.maximum(1.0 - before, 0.0) / np.take_along_axis(rate, step, -1)
    at_s = (np.take_along_axis(begin_s, step, -1) + left)[..., 0]
    return np.where(over.any(-1), at_s, np.inf)


def wear_until(
    times_s: FloatArray, step_s: float, start_s: FloatArray | float, end_s: FloatArray
) -> FloatArray:
    """[M] wear between two times; arguments as above."""
    begin_s, _ = _spans(times_s, step_s, start_s)
    ends_s = (np.arange(times_s.shape[-1]) + 1) * step_s
    span_s = np.clip(np.minimum(ends_s, np.asarray(end_s)[..., None]) - begin_s, 0, step_s)
    return np.asarray((span_s / times_s).sum(-1))


def _spans(
    times_s: FloatArray, step_s: float, start_s: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """[M,H] begin of each step as far as the load stands then, and [M,H] wear a second."""
    steps_s = np.arange(times_s.shape[-1]) * step_s
    begin_s = np.maximum(steps_s, np.asarray(start_s, float)[..., None])
    rate = np.maximum(1.0 / times_s, np.finfo(float).tiny)
    return np.broadcast_to(begin_s, times_s.shape), rate


def _wear(times_s: FloatArray, step_s: float, begin_s: FloatArray) -> FloatArray:
    ends_s = (np.arange(times_s.shape[-1]) + 1) * step_s
    return np.asarray(np.clip(ends_s - begin_s, 0, step_s) / times_s)
