"""The models of a running agent: what the coordinator wants, what is on disk, what serves."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from wattcast_agent.forecast.roster import OWN, Roster, Verdict
from wattcast_agent.infer.fetch import Source, download, load
from wattcast_agent.infer.shelf import Place, Shelf
from wattcast_core.errors import DataError, Unreachable
from wattcast_core.forecast import Forecast
from wattcast_core.models import ALL, Champion, ModelReport, Stage
from wattcast_core.signature import Signature

_log = logging.getLogger("wattcast.agent")
_AGAIN_REAL_S = (1.0, 60.0)  # after a failed download, doubling


class Models:
    """Implements ``step.Forecasts``; downloads and swaps beside it.

    A model that cannot be loaded, answers no numbers, or loses more than the one before leaves its
    seat; the agent goes on with that one, and says so.
    """

    def __init__(self, shelf: Shelf, roster: Roster, applications: Iterable[str]) -> None:
        """Take the seats of the last run.

        Args:
            shelf: of this agent.
            roster: with the agent's own model.
            applications: of the servers of this rack.
        """
        self._shelf, self._roster = shelf, roster
        self._applications = frozenset(applications)
        self._wanted: dict[str, Champion] = {}
        self._changed = asyncio.Event()
        self._tell: Callable[[ModelReport], None] = lambda _: None
        self._said: dict[tuple[str, str], ModelReport] = {}
        if shelf.problem:
            _log.error("%s", shelf.problem)
        for application, place in list(shelf.places.items()):
            self._restore(application, place)

    # -- forecasts

    def update(
        self, signatures: Iterable[Signature], now: datetime, sampled_real_s: float
    ) -> list[Forecast]:
        """As of ``step.Forecasts``."""
        forecasts = self._roster.update(signatures, now, sampled_real_s)
        for verdict in self._roster.verdicts():
            self._settle(verdict)
        for application, place in self._shelf.places.items():
            if place.starts and forecasts:
                self._safely(self._shelf.survived, application)
        return forecasts

    # -- the coordinator

    def reports(self) -> Sequence[ModelReport]:
        """All that a coordinator shall know when it is met."""
        return self._shelf.reports()

    def want(self, champions: Iterable[Champion]) -> None:
        """These are the champions now."""
        by_name = {champion.application: champion for champion in champions}
        here = self._applications & by_name.keys()
        others = {ALL} & by_name.keys() if self._applications - here else set()
        self._wanted = {name: by_name[name] for name in sorted(here | others)}
        self._changed.set()

    async def run(self, source: Source, tell: Callable[[ModelReport], None]) -> None:
        """Bring what is wanted onto the seats, until cancelled.

        Args:
            source: yields the file of a model.
            tell: takes reports for the coordinator.
        """
        self._tell = tell
        least, most = _AGAIN_REAL_S
        delay_real_s = least
        while True:
            await self._changed.wait()
            self._changed.clear()
            if await self._follow(source):
                delay_real_s = least
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), delay_real_s)
            except TimeoutError:
                delay_real_s = min(most, 2 * delay_real_s)
            self._changed.set()

    async def _follow(self, source: Source) -> bool:
        """Seat each champion; False if one could not be had and shall be tried again."""
        for application in [a for a in self._shelf.places if a not in self._wanted]:
            self._vacate(application)
        done = [await self._seat(champion, source) for champion in list(self._wanted.values())]
        self._safely(self._shelf.clean, {c.sha256 for c in self._wanted.values()})
        return all(done)

    async def _seat(self, champion: Champion, source: Source) -> bool:
        """Bring one champion onto its seat."""
        place = self._shelf.places.get(champion.application, Place())
        if champion.sha256 == place.trial or self._shelf.failure(champion.sha256):
            return True
        if place.trial:  # another one is wanted now: what is new is compared with what is proven
            self._safely(self._shelf.try_out, champion.application, "")
            self._roster.seat(champion.application, place.serving)
        if champion.sha256 == place.serving:
            return True
        if champion.sha256 == place.kept:
            return self._return(champion)
        return await self._take(champion, source)

    def _return(self, champion: Champion) -> bool:
        """The coordinator went back to the model that served here before."""
        if self._try_load(champion.application, champion.sha256):
            self._safely(self._shelf.serve, champion.application, champion.sha256)
            self._report(champion, Stage.SERVING, "")
        return True

    async def _take(self, champion: Champion, source: Source) -> bool:
        name = f"model {champion.id} for {champion.application}"
        try:
            await download(self._shelf, champion, source)
        except Unreachable as error:
            _log.warning("%s: %s; it is asked for again", name, error)
            return False
        except DataError as error:
            self._report(champion, Stage.REFUSED, str(error))
            return False
        try:
            model = await asyncio.to_thread(load, self._shelf, champion.sha256, probing=True)
            if self._wanted.get(champion.application) != champion:  # while it was loaded
                return True
            self._shelf.try_out(champion.application, champion.sha256)
            self._shelf.start(champion.application)
        except DataError as error:
            self._fail(champion.application, champion.sha256, Stage.REFUSED, str(error))
            return True
        self._roster.seat(champion.application, champion.sha256, model, trial=True)
        self._report(champion, Stage.TRIAL, "")
        return True

    def _vacate(self, application: str) -> None:
        self._safely(self._shelf.vacate, application)
        if application == ALL:
            self._roster.seat(ALL, OWN)
        else:
            self._roster.vacate(application)

    # -- seats

    def _restore(self, application: str, place: Place) -> None:
        """Seat what served when the last run ended, or what came before it."""
        for sha in (place.serving, place.kept):
            if sha and self._try_load(application, sha):
                break
        else:
            if application != ALL:
                self._roster.seat(application, self._roster.serving(ALL))
        trial = self._shelf.places[application].trial
        if not trial:
            return
        if not self._shelf.start(application):
            why = "the agent ended each time it was started with it"
            self._fail(application, trial, Stage.DEFECT, why)
            return
        self._try_load(application, trial, trial=True)

    def _try_load(self, application: str, sha256: str, *, trial: bool = False) -> bool:
        try:
            model = load(self._shelf, sha256, probing=False)
        except DataError as error:
            self._fail(application, sha256, Stage.DEFECT, str(error))
            return False
        self._roster.seat(application, sha256, model, trial=trial)
        return True

    def _settle(self, verdict: Verdict) -> None:
        """A trial ended, or a model in service failed."""
        application, sha = verdict.application, verdict.sha256
        if verdict.stage is Stage.SERVING:
            self._safely(self._shelf.prove, application)
            report = ModelReport(application, self._shelf.id_of(sha), sha, Stage.SERVING)
            self._say(report)
            return
        self._fail(application, sha, verdict.stage, verdict.why)
        if self._roster.serving(application) == sha:  # it was proven once: nothing runs beside it
            self._step_back(application)

    def _step_back(self, application: str) -> None:
        place = self._shelf.places.get(application, Place())
        if place.serving and self._try_load(application, place.serving):
            return
        self._roster.seat(application, OWN)

    def _fail(self, application: str, sha256: str, stage: Stage, why: str) -> None:
        report = ModelReport(application, self._shelf.id_of(sha256), sha256, stage, why)
        self._safely(self._shelf.fail, report)
        self._say(report)

    def _report(self, champion: Champion, stage: Stage, why: str) -> None:
        self._say(ModelReport(champion.application, champion.id, champion.sha256, stage, why))

    def _say(self, report: ModelReport) -> None:
        if self._said.get((report.application, report.sha256)) == report:
            return
        self._said[report.application, report.sha256] = report
        level = logging.WARNING if report.why else logging.INFO
        _log.log(
            level, "model %s for %s: %s %s", report.id, report.application, report.stage, report.why
        )
        self._tell(report)

    def _safely(self, act: Callable[..., None], *what: object) -> None:
        """A full disk must not end a beat; what could not be kept is tried again after a start."""
        try:
            act(*what)
        except DataError as error:
            _log.error("%s", error)
