"""Watches the forecasts of each application for drift, from what the database holds."""

import asyncio
from datetime import datetime, timedelta

import numpy as np

from wattcast_coordinator.models.drift import REFERENCE_STEPS, Drift, advance, observe
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.store.judged import Judged
from wattcast_core.models import ALL
from wattcast_core.signal.steps import STEP_S

_STEP = timedelta(seconds=STEP_S)
_BACK = 3 * REFERENCE_STEPS * _STEP  # looked at when a term begins
_AT_ONCE = 12 * _STEP  # of thousands of servers
_LATE = 2 * _STEP  # a step's readings have come by then


class DriftWatch:
    """One test an application, and one over all of them; told when an alarm comes and goes.

    The state is a fold over stored rows: a new leader has the same after its first look.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._until: datetime | None = None
        self._drifts: dict[str, Drift] = {}

    @property
    def alarms(self) -> dict[str, str]:
        """Applications with an alarm, and why."""
        return {name: drift.why() for name, drift in self._drifts.items() if drift.alarm}

    async def look(self, at: datetime) -> None:
        """Take the steps that passed since the last look."""
        until = at - _LATE
        since = self._until or until - _BACK
        before = self.alarms
        while since < until:
            end = min(since + _AT_ONCE, until)
            rows = await self._parts.store.judged(since, end)
            await asyncio.to_thread(self._fold, rows)
            self._until = since = end
        for name in sorted(before.keys() ^ self.alarms.keys()):
            await self._tell(name, self.alarms.get(name, ""), until)

    def forget(self, application: str) -> None:
        """Another model serves: what is usual is learned anew."""
        for name in (application, ALL):
            self._drifts.pop(name, None)

    def _fold(self, rows: Judged) -> None:
        names = {*rows.application.tolist(), ALL}
        for target_ms in np.unique(rows.target_ms).tolist():
            for name in names:
                part = rows.part(name, target_ms)
                if len(part.application):
                    seen = observe(part.quantiles_w, part.actual_w, part.before_w)
                    self._drifts[name] = advance(self._drifts.get(name, Drift()), seen)

    async def _tell(self, name: str, why: str, at: datetime) -> None:
        whom = "all applications" if name == ALL else f"application {name}"
        text = f"forecasts of {whom} drift: {why}" if why else f"forecasts of {whom} are as usual"
        severity = Severity.WARNING if why else Severity.INFO
        await self._parts.tell(RaiseEvent(severity, "drift", text, at))
