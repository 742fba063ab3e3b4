"""Signatures of a rack in, one forecast a server out."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from wattcast_agent.forecast.trail import KINDS, Trail
from wattcast_core.errors import DataError
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.signal import features, naive
from wattcast_core.signal.choice import Choice
from wattcast_core.signal.features import HORIZON, STEP_S, WINDOW, Float32Array, ModelInput
from wattcast_core.signal.window import SlidingWindow
from wattcast_core.signature import Signature
from wattcast_core.units import FloatArray, epoch_s, from_epoch_s

Predict = Callable[[Float32Array], FloatArray]
STALE_STEPS = 6
NAIVE_ID = "naive"
_NO_MODEL = "no model is loaded"


@dataclass(frozen=True, slots=True)
class _Outlook:
    """Both forecasters at one moment; arrays as in ``Trail``."""

    end_s: float
    quantiles_w: FloatArray
    input: ModelInput


class Forecaster:
    """State of one rack: its windows, past forecasts and calibration.

    Invariants: a served forecast is finite, at least 0 W and ordered; no issue uses a signature
    that ends after it.
    """

    def __init__(
        self, predict: Predict | None = None, model_id: str = "", *, stale_steps: int = STALE_STEPS
    ) -> None:
        """Start empty.

        Args:
            predict: scaled input [server, WINDOW, inputs] -> scaled quantiles [server, HORIZON, 4];
                None: only naive forecasts.
            model_id: name of the model behind ``predict``.
            stale_steps: model steps without measured power after which a server gets no forecast.
        """
        self._predict = predict
        self._model_id = model_id
        self._stale_steps = stale_steps
        self._window: SlidingWindow | None = None
        self._trail = Trail()
        self._judged_s = 0.0
        self._model_problem = "" if predict else _NO_MODEL

    def twin(self, predict: Predict | None, model_id: str) -> "Forecaster":
        """Another model with all that this one has seen and learned of the rack's servers."""
        made = copy.copy(self)
        made.use(predict, model_id)
        return made

    def use(self, predict: Predict | None, model_id: str) -> None:
        """Go on with another model, and with a copy of what was learned: a twin shares it."""
        self._window, self._trail = copy.deepcopy((self._window, self._trail))
        self._predict, self._model_id = predict, model_id
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
        if self._window is None:
            self._window = SlidingWindow(new[0].step_s)
            first_s = min(epoch_s(now), *(epoch_s(signature.at) for signature in new))
            self._judged_s = first_s // STEP_S * STEP_S
        window = self._window
        window.place(new, epoch_s(now) + window.step_s)
        outlook: _Outlook | None = None
        for boundary_s in self._boundaries(window.end_s):
            outlook = self._judge_and_issue(window, boundary_s)
        if not window.servers:
            return []
        if outlook is None or outlook.end_s < window.end_s:
            outlook = self._outlook(window.cut(window.end_s), window.end_s)
        return list(self._serve(outlook, list(window.servers), now, sampled_real_s))

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
        self._trail.judge(end_s, cut[:, -1, 0])
        outlook = self._outlook(cut, end_s)
        self._trail.record(end_s, outlook.quantiles_w, outlook.input.scale_w)
        return outlook

    def _outlook(self, cut: FloatArray, end_s: float) -> _Outlook:
        inputs = features.build(cut, np.full(len(cut), end_s))
        raw = np.stack([self._lstm(inputs), naive.forecast(cut[:, :, 0], HORIZON)])
        short = np.isfinite(cut[:, :, 0]).sum(axis=1) < naive.LEAST_STEPS
        raw[:, short] = np.nan
        return _Outlook(end_s, self._trail.calibrated(raw, inputs.scale_w), inputs)

    def _lstm(self, inputs: ModelInput) -> FloatArray:
        """Watts of the model, NaN (and the problem kept) where it gives none."""
        none = np.full((len(inputs.x), HORIZON, len(QUANTILES)), np.nan)
        if self._predict is None:
            return none
        try:
            out = inputs.to_watts(self._predict(inputs.x))
        except DataError as error:
            self._model_problem = str(error)
            return none
        self._model_problem = ""
        return out if out.shape == none.shape else none

    def _serve(
        self, outlook: _Outlook, servers: list[str], now: datetime, sampled_real_s: float
    ) -> Iterator[Forecast]:
        choices = self._trail.choices(len(servers))
        rows = outlook.quantiles_w.tolist()
        late = (epoch_s(now) - outlook.end_s) / STEP_S
        for row, (server, chosen) in enumerate(zip(servers, choices, strict=True)):
            age = int(outlook.input.age_steps[row])
            picked = self._available(outlook.quantiles_w[:, row], chosen)
            if picked is None or age + max(late, 0.0) > self._stale_steps:
                continue
            stale = f"; power not measured for {age} steps: from the last good value" if age else ""
            yield Forecast(
                server=server,
                issued_at=from_epoch_s(outlook.end_s),
                step_s=STEP_S,
                quantiles_w=tuple(tuple(step) for step in rows[KINDS.index(picked.kind)][row]),
                kind=picked.kind,
                reason=picked.reason + stale,
                model_id=self._model_id if picked.kind is Kind.LSTM else NAIVE_ID,
                sampled_real_s=sampled_real_s,
            )

    def _available(self, quantiles_w: FloatArray, chosen: Choice) -> Choice | None:
        """The choice, or the other forecaster where the chosen one gave nothing."""
        given = [kind for kind, q in zip(KINDS, quantiles_w, strict=True) if np.isfinite(q).all()]
        if chosen.kind in given:
            why = f"naive: {self._model_problem}" if self._model_problem else chosen.reason
            return Choice(chosen.kind, why)
        if Kind.NAIVE in given:
            why = self._model_problem or "the LSTM gave no forecast"
            return Choice(Kind.NAIVE, f"naive: {why}")
        return None
