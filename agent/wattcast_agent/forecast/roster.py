"""Which forecaster serves which application's servers. Pure.

Every forecaster follows the whole rack, so that a server may change its application, and a seat
its forecaster, without anything having to be learned anew. There are as many as there are models
in use: one, unless an application has its own or a model is on trial.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.forecast.past import Past
from wattcast_agent.forecast.trial import Trial
from wattcast_core.forecast import Forecast
from wattcast_core.models import ALL, Stage
from wattcast_core.signal.familiar import Range
from wattcast_core.signal.features import ModelInput
from wattcast_core.signature import Signature
from wattcast_core.units import FloatArray

OWN = ""  # in a sha256's place: the model of the rack file, or the one that ships


class Model(Protocol):
    """A model that may fail.

    Attributes:
        id: its name.
        problem: why it can no longer be trusted; empty as long as it can.
        learned: where its inputs lay when it learned; None: not known.
    """

    id: str
    problem: str
    learned: Range | None

    def predict(self, inputs: ModelInput, /) -> FloatArray:
        """As of ``Forecaster``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the model at an application's seat."""

    application: str
    sha256: str
    stage: Stage
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """Who serves an application; ``old`` runs beside while there is a trial."""

    sha256: str = OWN
    old: str = OWN
    trial: Trial | None = None


class Roster:
    """Seats of a rack: ALL, and one for each application with a model of its own."""

    def __init__(self, own: Model, past: Past | None = None) -> None:
        """Let the agent's own model serve, with the past of an earlier roster of the rack."""
        self._models = {OWN: own}
        self._forecasters = {OWN: Forecaster(own.predict, own.id, learned=own.learned, past=past)}
        self._seats = {ALL: _Seat()}
        self._applications: dict[str, str] = {}
        self._verdicts: list[Verdict] = []

    @property
    def past(self) -> Past:
        """What the proven forecaster of ALL has seen and learned: worth keeping."""
        seat = self._seats[ALL]
        return self._forecasters[seat.old if seat.trial else seat.sha256].past

    def serving(self, application: str) -> str:
        """sha256 of the model that serves an application's servers."""
        return self._seat(application).sha256

    def seat(
        self, application: str, sha256: str, model: Model | None = None, *, trial: bool = False
    ) -> None:
        """Let a model serve from the next step on.

        Args:
            application: whose servers.
            sha256: of the model, or OWN.
            model: it; None if it is OWN or serves or runs already.
            trial: the present one runs beside until a verdict.
        """
        if model is not None:
            self._models[sha256] = model
        old = self.serving(application)
        if sha256 not in self._forecasters:
            known, new = self._forecasters[old], self._models[sha256]
            self._forecasters[sha256] = known.twin(new.predict, new.id, new.learned)
        self._seats[application] = _Seat(sha256, old, Trial()) if trial else _Seat(sha256)
        self._drop_unused()

    def vacate(self, application: str) -> None:
        """An application has no model of its own any more: that of ALL serves."""
        del self._seats[application]
        self._drop_unused()

    def update(
        self, signatures: Iterable[Signature], now: datetime, sampled_real_s: float
    ) -> list[Forecast]:
        """As of ``Forecaster``: one forecast a server, of the forecaster of its application."""
        new = list(signatures)
        for signature in new:
            self._applications[signature.server] = signature.tags.application
        served = {
            sha: forecaster.update(new, now, sampled_real_s)
            for sha, forecaster in self._forecasters.items()
        }
        for application in list(self._seats):
            self._look(application, new, served, now)
        chosen = {application: seat.sha256 for application, seat in self._seats.items()}
        return [
            forecast
            for sha, forecasts in served.items()
            for forecast in forecasts
            if chosen[self._place(forecast.server)] == sha
        ]

    def verdicts(self) -> list[Verdict]:
        """Those since the last call."""
        told, self._verdicts = self._verdicts, []
        return told

    def _look(
        self,
        application: str,
        signatures: list[Signature],
        served: dict[str, list[Forecast]],
        now: datetime,
    ) -> None:
        """Judge the model at a seat; one on trial that failed leaves it at once."""
        seat = self._seats[application]
        model = self._models.get(seat.sha256)
        stage, why = Stage.DEFECT, model.problem if model is not None else ""
        if not why:
            if seat.trial is None:
                return
            new, old = (self._of(application, served[sha]) for sha in (seat.sha256, seat.old))
            seat.trial.take(signatures, new, old, now)
            if (judged := seat.trial.verdict()) is None:
                return
            stage, why = (Stage.WORSE, judged) if judged else (Stage.SERVING, "")
        self._verdicts.append(Verdict(application, seat.sha256, stage, why))
        if seat.trial is not None:
            sha = seat.sha256 if stage is Stage.SERVING else seat.old
            self._seats[application] = _Seat(sha)
            self._drop_unused()

    def _of(self, application: str, forecasts: list[Forecast]) -> list[Forecast]:
        return [f for f in forecasts if self._place(f.server) == application]

    def _place(self, server: str) -> str:
        application = self._applications.get(server, "")
        return application if application in self._seats else ALL

    def _seat(self, application: str) -> _Seat:
        return self._seats.get(application, self._seats[ALL])

    def _drop_unused(self) -> None:
        used = {seat.sha256 for seat in self._seats.values()}
        used |= {seat.old for seat in self._seats.values() if seat.trial is not None}
        self._forecasters = {s: f for s, f in self._forecasters.items() if s in used}
        self._models = {s: m for s, m in self._models.items() if s in used or s == OWN}
