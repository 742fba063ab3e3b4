"""Signatures of a rack in, one forecast a server out."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from wattcast_agent.forecast.past import Past
from wattcast_agent.forecast.reasons import Doubts, explained
from wattcast_core.errors import DataError
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.signal import familiar, features, naive, rises, shifts
from wattcast_core.signal.choice import KINDS, Choice
from wattcast_core.signal.familiar import Range
from wattcast_core.signal.features import ModelInput
from wattcast_core.signal.gaps import BoolArray
from wattcast_core.signal.steps import HORIZON, STEP_S, WINDOW
from wattcast_core.signal.window import SlidingWindow
from wattcast_core.signature import Signature
from wattcast_core.units import FloatArray, epoch_s, from_epoch_s

Predict = Callable[[ModelInput], FloatArray]
STALE_STEPS = 6
NAIVE_ID = "naive"
_NO_MODEL = "no model is loaded"


@dataclass(frozen=True, slots=True)
class _Outlook:
    """Both forecasters at one moment.

    Attributes:
        raw_w: [kind, server, HORIZON, 4]; NaN where one gave nothing.
        quantiles_w: the same, calibrated.
        doubts: what is amiss at each server.
    """

    end_s: float
    raw_w: FloatArray
    quantiles_w: FloatArray
    doubts: Doubts


class Forecaster:
    """State of one rack: its windows, a week of power, past forecasts and calibration.

    Attributes:
        past: what it has seen and learned; changes with every update.

    Invariants: a served forecast is finite, at least 0 W and ordered; no issue uses a signature
    that ends after it.
    """

    def __init__(
        self,
        predict: Predict | None = None,
        model_id: str = "",
        *,
        learned: Range | None = None,
        stale_steps: int = STALE_STEPS,
        past: Past | None = None,
    ) -> None:
        """Start empty.

        Args:
            predict: model input -> scaled quantiles [server, HORIZON, 4]; None: only naive
                forecasts.
            model_id: name of the model behind ``predict``.
            learned: where the model's inputs lay when it learned; None: not known.
            stale_steps: model steps without measured power after which a server gets no forecast.
            past: of an earlier forecaster of the same rack.
        """
        self._predict = predict
        self._model_id = model_id
        self._learned = learned
        self._stale_steps = stale_steps
        self._window: SlidingWindow | None = None
        self.past = past or Past()
        self._judged_s = 0.0
        self._model_problem = "" if predict else _NO_MODEL

    def twin(self, predict: Predict | None, model_id: str, learned: Range | None) -> "Forecaster":
        """Another model with a copy of all that this one has seen and learned."""
        made = copy.copy(self)
        made.use(predict, model_id, learned)
        return made

    def use(self, predict: Predict | None, model_id: str, learned: Range | None) -> None:
        """Go on with another model, and with a copy of the past: a twin goes on with the other."""
        self._window, self.past = copy.deepcopy((self._window, self.past))
        self._predict, self._model_id, self._learned = predict, model_id, learned
        self._model_problem = "" if predict else _NO_MODEL

    def update(
        self, signatures: Iterable[Signature], now: datetime, sampled_real_s: float
    ) -> list[Forecast]:
        """Take new signatures and forecast from the newest step.

        Args:
            signatures: new (or late) ones; those that end after ``now`` by more than a step of
                their own are ignored, as are those of another step than the first.
            now: data time.
            sampled_real_s: real time (epoch s) of the newest reading in them.

        Returns:
            One forecast for each server with enough history and fresh enough power.

        Raises:
            DataError: the signatures' step is longer than the model's.
        """
        new = list(signatures)
        if not new:
            return []
        window = self._window or self._begin(new, now)
        window.place(new, epoch_s(now) + window.step_s)
        outlook: _Outlook | None = None
        for boundary_s in self._boundaries(window.end_s):
            outlook = self._judge_and_issue(window, boundary_s)
        if not window.servers:
            return []
        if outlook is None or outlook.end_s < window.end_s:
            outlook = self._outlook(window.cut(window.end_s), window.end_s)
        return list(self._serve(outlook, list(window.servers), now, sampled_real_s))

    def _begin(self, new: Sequence[Signature], now: datetime) -> SlidingWindow:
        first_s = min(epoch_s(now), *(epoch_s(signature.at) for signature in new))
        if first_s < self.past.history.end_s - STEP_S:  # kept at another time than it is now
            self.past = Past()
        self._judged_s = max(first_s // STEP_S * STEP_S, self.past.history.end_s)
        self._window = SlidingWindow(new[0].step_s, self.past.servers)
        return self._window

    def _boundaries(self, end_s: float) -> Iterator[float]:
        """Ends of the model steps (aligned to the epoch) passed since the last call."""
        newest = math.floor(end_s / STEP_S + 1e-9) * STEP_S
        boundary = max(self._judged_s + STEP_S, newest - (WINDOW - 1) * STEP_S)
        while boundary <= newest:
            self._judged_s = boundary
            yield boundary
            boundary += STEP_S

    def _judge_and_issue(self, window: SlidingWindow, end_s: float) -> _Outlook:
        cut = window.cut(end_s)
        self.past.history.record(end_s, cut[:, :, 0])
        self.past.trail.judge(end_s, cut[:, -1, 0])
        outlook = self._outlook(cut, end_s)
        self.past.trail.issue(end_s, outlook.raw_w, outlook.quantiles_w)
        return outlook

    def _outlook(self, cut: FloatArray, end_s: float) -> _Outlook:
        history_w = self.past.history.view(end_s, cut[:, :, 0])
        inputs = features.build(cut, history_w, np.full(len(cut), end_s))
        strange, by = self._strangeness(inputs)
        raw = np.stack(
            [
                familiar.widened(self._lstm(inputs, strange), strange),
                naive.forecast(np.asarray(history_w[:, -naive.STEPS :], np.float64), HORIZON),
            ]
        )
        raw[:, np.isfinite(history_w).sum(axis=1) < naive.LEAST_STEPS] = np.nan
        rise_w = rises.expected(history_w)
        raw = np.stack([rises.followed(of, history_w[:, -1], rise_w) for of in raw])
        step_w = shifts.find(history_w, inputs.scale_w)
        doubts = Doubts(inputs.age_steps, strange, by, step_w, rise_w[:, 0])
        return _Outlook(end_s, raw, self.past.trail.calibrated(raw), doubts)

    def _strangeness(self, inputs: ModelInput) -> tuple[FloatArray, list[str]]:
        if self._learned is None:
            return np.zeros(len(inputs)), [""] * len(inputs)
        return self._learned.strangeness(inputs.context)

    def _lstm(self, inputs: ModelInput, strange: FloatArray) -> FloatArray:
        """Watts of the model, NaN (and the problem kept) where it gives none."""
        none = np.full((len(inputs), HORIZON, len(QUANTILES)), np.nan)
        if self._predict is None:
            return none
        try:
            out = inputs.to_watts(self._predict(inputs))
        except DataError as error:
            self._model_problem = str(error)
            return none
        self._model_problem = ""
        if out.shape != none.shape:
            return none
        out[strange > familiar.MOST] = np.nan
        return out

    def _serve(
        self, outlook: _Outlook, servers: list[str], now: datetime, sampled_real_s: float
    ) -> Iterator[Forecast]:
        given = np.asarray(np.isfinite(outlook.quantiles_w).all(axis=(2, 3)))
        late = max((epoch_s(now) - outlook.end_s) / STEP_S, 0.0)
        for row, chosen in enumerate(self.past.trail.choices(len(servers))):
            picked = self._available(given[:, row], chosen)
            if picked is None or outlook.doubts.age_steps[row] + late > self._stale_steps:
                continue
            served_w = outlook.quantiles_w[KINDS.index(picked.kind), row]
            yield Forecast(
                server=servers[row],
                issued_at=from_epoch_s(outlook.end_s),
                step_s=STEP_S,
                quantiles_w=tuple(map(tuple, served_w.tolist())),
                kind=picked.kind,
                reason=explained(picked, outlook.doubts, row),
                model_id=self._model_id if picked.kind is Kind.LSTM else NAIVE_ID,
                sampled_real_s=sampled_real_s,
            )

    def _available(self, given: BoolArray, chosen: Choice) -> Choice | None:
        """The choice, or the other forecaster where the chosen one gave nothing."""
        if given[KINDS.index(chosen.kind)]:
            return Choice(chosen.kind, self._model_problem or chosen.reason)
        for kind, there in zip(KINDS, given.tolist(), strict=True):
            if there:
                return Choice(kind, self._model_problem or f"the {chosen.kind} gave no forecast")
        return None
