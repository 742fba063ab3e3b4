"""The sliding window of a rack: signatures of any step up to the model's, on the model's steps.

Signatures stay at their own step in slots (NaN = not there: a gap is a gap). A window of WINDOW
model steps that ends with the newest signature is cut from them on demand; a signature that comes
late falls into its slot. The step of all signatures of a rack is the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from wattcast_core.errors import DataError
from wattcast_core.samples import Quality
from wattcast_core.signal.features import CHANNELS
from wattcast_core.signal.steps import STEP_S, WINDOW
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import FloatArray, epoch_s

_VALUES = tuple(FEATURES.index(name) for name in CHANNELS[1:])


@dataclass(slots=True)
class SlidingWindow:
    """Signatures of one rack at their own step.

    Attributes:
        step_s: the signatures' step; at most the model's.
        servers: row of each server.
        end_slot: slot number (epoch seconds / step_s) just after the newest signature.
    """

    step_s: float
    servers: dict[str, int] = field(default_factory=dict)
    end_slot: int | None = None
    _slots: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.step_s <= STEP_S:
            raise DataError(
                f"signature step {self.step_s:g} s: the model's step is {STEP_S:g} s; "
                "remedy: build signatures at that step or a shorter one"
            )
        # One model step more than a window: the actuals of its first steps can still be read.
        count = int(np.ceil((WINDOW + 1) * STEP_S / self.step_s)) + 1
        self._slots = np.full((len(self.servers), count, len(CHANNELS)), np.nan)

    @property
    def end_s(self) -> float:
        """Epoch seconds at which the newest signature ends; 0 before the first."""
        return (self.end_slot or 0) * self.step_s

    def place(self, signatures: Iterable[Signature], until_s: float) -> None:
        """Put signatures in slots; ignore those of another step or ending after ``until_s``."""
        for signature in signatures:
            slot = round(epoch_s(signature.at) / self.step_s)
            if abs(signature.step_s - self.step_s) > 1e-6 or (slot + 1) * self.step_s > until_s:
                continue
            row = self._row(signature.server)
            self._advance(slot + 1)
            column = self._slots.shape[1] - (self._end - slot)
            if column >= 0:
                self._slots[row, column] = _channels(signature)

    def cut(self, end_s: float) -> FloatArray:
        """Window [server, WINDOW, len(CHANNELS)] that ends at ``end_s``; NaN: not known.

        A model step is the mean of the slots whose middle lies in it.
        """
        first_s = end_s - WINDOW * STEP_S
        count = self._slots.shape[1]
        middle_s = (self._end - count + np.arange(count) + 0.5) * self.step_s
        step = np.floor((middle_s - first_s) / STEP_S + 1e-9).astype(np.int64)
        inside = (step >= 0) & (step < WINDOW)
        out = np.full((len(self._slots), WINDOW, len(CHANNELS)), np.nan)
        if not inside.any():
            return out
        present, begin = np.unique(step[inside], return_index=True)
        slots = self._slots[:, inside]
        known = np.isfinite(slots)
        total = np.add.reduceat(np.where(known, slots, 0.0), begin, axis=1)
        number = np.add.reduceat(known, begin, axis=1, dtype=np.int64)
        out[:, present] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return out

    @property
    def _end(self) -> int:
        return self.end_slot or 0

    def _row(self, server: str) -> int:
        if server not in self.servers:
            self.servers[server] = len(self.servers)
            empty = np.full((1, *self._slots.shape[1:]), np.nan)
            self._slots = np.concatenate([self._slots, empty])
        return self.servers[server]

    def _advance(self, end_slot: int) -> None:
        if self.end_slot is None:
            self.end_slot = end_slot
        shift = min(end_slot - self.end_slot, self._slots.shape[1])
        if shift > 0:
            self._slots[:, :-shift] = self._slots[:, shift:]
            self._slots[:, -shift:] = np.nan
            self.end_slot = end_slot


def _channels(signature: Signature) -> FloatArray:
    """The channels of one signature; power of doubtful quality and wrong counts are missing."""
    out = np.full(len(CHANNELS), np.nan)
    power_w = signature.power_w
    if signature.quality is Quality.GOOD and np.isfinite(power_w) and power_w >= 0:
        out[0] = power_w
    if len(signature.values) == len(FEATURES):
        out[1:] = [signature.values[i] for i in _VALUES]
    out[~np.isfinite(out)] = np.nan
    return out
