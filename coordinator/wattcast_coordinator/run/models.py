"""The models of a running coordinator: champions, what agents say of them, who changed them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime

from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.api.models import ModelView
from wattcast_coordinator.coord.election import Leadership
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.models.promotion import Decision, Judgement, withdraw
from wattcast_coordinator.models.record import (
    ModelRecord,
    ModelState,
    champion_of,
    promoted,
    rolled_back,
    surplus,
)
from wattcast_coordinator.models.registry import ModelRegistry
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store.contract import AuditEntry
from wattcast_core.errors import Refused
from wattcast_core.messages import Champions
from wattcast_core.models import FAILED, ModelReport, Stage

_KIND = "model"


class ModelDesk:
    """Implements ``api.models.Desk``; whatever changes is an audit entry and an event.

    Attributes:
        changed: told of an application with another champion; set by who leads.
    """

    def __init__(
        self,
        files: ModelFiles,
        agents: AgentServer,
        now: Callable[[], datetime],
        tell: Callable[[RaiseEvent], Awaitable[None]],
        write_audit: Callable[[AuditEntry], None],
    ) -> None:
        self._files, self._agents, self._now = files, agents, now
        self._tell, self._write_audit = tell, write_audit
        self.changed: Callable[[str], None] = lambda _: None
        self._registry: ModelRegistry | None = None
        self._told: set[ModelReport] = set()
        self._reports: dict[tuple[str, str], dict[str, ModelReport]] = {}
        self._one_at_a_time = asyncio.Lock()

    # -- terms

    async def take_up(self, leadership: Leadership) -> None:
        """Begin a term: read what is known, and tell agents of it."""
        registry = ModelRegistry(leadership)
        for problem in await registry.load():
            await self._event(Severity.WARNING, problem)
        self._registry = registry
        self._tell_agents()

    def lay_down(self) -> None:
        """End a term."""
        self._registry = None
        self._agents.tell_champions(None)

    # -- people

    def models(self) -> list[ModelView]:
        """See ``Desk``; empty where this coordinator does not lead."""
        records = self._registry.records if self._registry else ()
        return [
            ModelView.of(r, self._words(r), file=self._files.path(r.sha256) is not None)
            for r in records
        ]

    async def add(
        self, content: bytes, application: str, judged: Judgement | None = None
    ) -> ModelRecord:
        """See ``Desk``; a model that is known already stays what it is."""
        registry = self._leading()
        record = await asyncio.to_thread(self._files.add, content, application)
        scores = asdict(judged) if judged else {}
        async with self._one_at_a_time:
            known = [r for r in registry.records if r.application == application]
            if any(r.sha256 == record.sha256 for r in known):
                return registry.find(application, record.sha256)
            record = replace(record, since=self._now().isoformat(), scores=scores)
            gone = surplus((*registry.records, record), application)
            await registry.put([record], gone)
            await self._forget_files(registry, gone)
        self._audit("add", record.application, {"id": record.id, "sha256": record.sha256})
        return record

    async def promote(self, application: str, model: str, why: str) -> None:
        """See ``Desk``; one that agents gave up is refused: they do not take it again."""
        registry = self._leading()
        async with self._one_at_a_time:
            new = registry.find(application, model)
            if self._files.path(new.sha256) is None:
                raise Refused(f"the file of {new.id} is not at this coordinator; add it first")
            if failed := withdraw(self._stages(new)):
                raise Refused(f"{new.id}: {failed}; train it again")
            at = self._now().isoformat()
            await registry.put(promoted(registry.records, new, at, why))
        self._audit("promote", application, {"id": new.id, "sha256": new.sha256, "why": why})
        await self._event(Severity.INFO, f"{new.id} is champion of {application}: {why}")
        self._has_changed(application)

    async def roll_back(self, application: str, why: str, *, only: str = "") -> None:
        """See ``Desk``; ``only`` a champion of this sha256, if that is given."""
        registry = self._leading()
        async with self._one_at_a_time:
            champion = champion_of(registry.records, application)
            if only and (champion is None or champion.sha256 != only):
                return  # another agent said so just before
            changes = rolled_back(registry.records, application, self._now().isoformat(), why)
            await registry.put(changes)
        gone, *back = changes
        serves = back[0].id if back else "the agents' own model"
        facts = {"id": gone.id, "sha256": gone.sha256, "why": why, "serves": serves}
        self._audit("roll_back", application, facts)
        text = f"{gone.id} of {application} is rolled back ({why}); {serves} serves"
        await self._event(Severity.WARNING, text)
        self._has_changed(application)

    async def judged(
        self, record: ModelRecord, judged: Judgement, decision: Decision, *, automatic: bool
    ) -> None:
        """Carry a decision on a challenger out, or only tell of it."""
        facts = {**asdict(judged), **asdict(decision), "id": record.id, "sha256": record.sha256}
        self._audit("judge", record.application, facts)
        if decision.promote and automatic:
            await self.promote(record.application, record.sha256, decision.why)
            return
        what = "could be promoted" if decision.promote else "is not promoted"
        text = f"{record.id} of {record.application} {what}: {decision.why}"
        await self._event(Severity.INFO, text)

    def champions(self) -> tuple[ModelRecord, ...]:
        """Those of all applications."""
        records = self._registry.records if self._registry else ()
        return tuple(r for r in records if r.state is ModelState.CHAMPION)

    def keep(self, sha256: str) -> str:
        """Path of a model's file; empty if it is not here."""
        return str(self._files.path(sha256) or "")

    # -- agents

    async def reported(self, agent: str, report: ModelReport) -> None:
        """An agent's word; a champion that fails is withdrawn."""
        self._reports.setdefault((report.application, report.sha256), {})[agent] = report
        why = f": {report.why}" if report.why else ""
        await self._tell_failure(agent, report)
        champion = next((r for r in self.champions() if _same(r, report)), None)
        if champion is not None and (reason := withdraw(self._stages(champion))):
            why = f"{reason} ({agent}{why})"
            await self.roll_back(report.application, why, only=report.sha256)

    def _stages(self, record: ModelRecord) -> list[Stage]:
        words = self._reports.get((record.application, record.sha256), {})
        return [word.stage for word in words.values()]

    async def _forget_files(self, registry: ModelRegistry, gone: Sequence[ModelRecord]) -> None:
        """Delete files that no model is any more."""
        used = {record.sha256 for record in registry.records}
        for sha256 in {record.sha256 for record in gone} - used:
            await asyncio.to_thread(self._files.discard, sha256)

    def _words(self, record: ModelRecord) -> Mapping[str, str]:
        words = self._reports.get((record.application, record.sha256), {})
        return {a: f"{w.stage}: {w.why}" if w.why else str(w.stage) for a, w in words.items()}

    async def _tell_failure(self, agent: str, report: ModelReport) -> None:
        """Once a reason: hundreds of agents may refuse the same file."""
        if report.stage not in FAILED or (said := replace(report, id="")) in self._told:
            return
        self._told.add(said)
        text = f"{agent}: {report.id} of {report.application} is {report.stage}: {report.why}"
        await self._event(Severity.WARNING, text)

    def _leading(self) -> ModelRegistry:
        if self._registry is None:
            raise Refused("this coordinator does not lead now; ask the one that does")
        return self._registry

    def _has_changed(self, application: str) -> None:
        self.changed(application)
        self._tell_agents()

    def _tell_agents(self) -> None:
        self._agents.tell_champions(Champions(tuple(r.champion for r in self.champions())))

    def _audit(self, action: str, application: str, facts: Mapping[str, object]) -> None:
        entry = AuditEntry(self._now(), "coordinator", action, f"model of {application}",
                           json.dumps(facts, default=str))  # fmt: skip
        self._write_audit(entry)

    async def _event(self, severity: Severity, text: str) -> None:
        await self._tell(RaiseEvent(severity, _KIND, text, self._now()))


def _same(record: ModelRecord, report: ModelReport) -> bool:
    return (record.application, record.sha256) == (report.application, report.sha256)
