"""Trains models again in a process of its own: when it is time, or when forecasts drift.

A training has a folder: the data it learns from, what it has finished, its log. The process ends
with this one; whoever leads next goes on in that folder, and repeats nothing that is finished.
"""

import asyncio
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from wattcast_coordinator.coord.child import bound_to
from wattcast_coordinator.models.promotion import Judgement, Rule, decide
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.drift import DriftWatch
from wattcast_coordinator.run.models import ModelDesk
from wattcast_coordinator.run.parts import Parts
from wattcast_core.errors import DataError, WattcastError
from wattcast_core.signal.features import VERSION

_log = logging.getLogger(__name__)
_DRIFT_DAYS = 1.0  # at least between two trainings because of drift
_END_REAL_S = 3.0
_DATA, _JOB, _LAST, _RESULT, _LOG = (
    "steps.parquet",
    "job.json",
    "last.json",
    "result.json",
    "train.log",
)


@dataclass(frozen=True, slots=True)
class _Job:
    """One training: learns and judges what came before ``until``."""

    until: datetime
    why: str


class Training:
    """At most one training at a time, beside everything else."""

    def __init__(self, parts: Parts, desk: ModelDesk, tasks: asyncio.TaskGroup) -> None:
        """Begin a term; what runs ends with ``tasks``, and its folder stays for the next one."""
        self._parts, self._desk, self._tasks = parts, desk, tasks
        self._config = parts.control.models
        self._folder = parts.folder / parts.control.state_dir / "training"
        self._task: asyncio.Task[None] | None = None
        self._drift = DriftWatch(parts)
        desk.changed = self._drift.forget

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    async def look(self, at: datetime) -> None:
        """Look for drift, and begin a training if one is due or was left unfinished."""
        await self._drift.look(at)
        if self._config.retrain_days <= 0 or self.running:
            return
        job = self._unfinished() or self._due(at, self._drift.alarms)
        if job is not None:
            self._task = self._tasks.create_task(self._guarded(job))

    def _unfinished(self) -> _Job | None:
        found = _read(self._folder / _JOB)
        try:
            return _Job(datetime.fromisoformat(found["until"]), str(found["why"]))
        except (KeyError, ValueError, TypeError):
            return None

    def _due(self, at: datetime, alarms: Mapping[str, str]) -> _Job | None:
        try:
            last = datetime.fromisoformat(_read(self._folder / _LAST)["until"])
        except (KeyError, ValueError, TypeError):
            self._count_from(at)
            return None
        if at - last >= timedelta(days=self._config.retrain_days):
            return _Job(at, f"{self._config.retrain_days:g} days have passed")
        drifting = alarms and self._config.retrain_on_drift
        if drifting and at - last >= timedelta(days=_DRIFT_DAYS):
            return _Job(at, f"drift: {', '.join(sorted(alarms))}")
        return None

    def _count_from(self, at: datetime) -> None:
        """Nothing was trained yet: count from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder / _LAST, {"until": at.isoformat()})

    async def _guarded(self, job: _Job) -> None:
        async with self._parts.guard("training models"):
            await self._train(job)
        with suppress(OSError):
            shutil.rmtree(self._folder / "out", ignore_errors=True)
            for name in (_DATA, _JOB):
                (self._folder / name).unlink(missing_ok=True)
            _write(self._folder / _LAST, {"until": job.until.isoformat()})

    async def _train(self, job: _Job) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder / _JOB, {"until": job.until.isoformat(), "why": job.why})
        await self._tell(Severity.INFO, f"training begins: {job.why}")
        data = self._folder / _DATA
        if not data.exists():
            since = job.until - timedelta(days=self._config.train_days)
            part = data.with_name(f"new-{_DATA}")
            await self._parts.store.steps_to_file(part, since, job.until)
            part.replace(data)
        await self._run(self._command(data))
        result = _read(self._folder / "out" / _RESULT)
        if "models" not in result:
            raise DataError(f"{self._folder / 'out' / _RESULT}: is missing or damaged")
        for entry in result["models"]:
            await self._judge(entry, Rule(margin=self._config.margin))

    def _command(self, data: Path) -> Sequence[str]:
        config = self._config
        champions = [
            word
            for record in self._desk.champions()
            if record.schema == VERSION and (path := self._desk.keep(record.sha256))
            for word in ("--champion", f"{record.application}={path}")
        ]
        options: dict[str, object] = {
            "--from-store": data,
            "--out": self._folder / "out",
            "--judge-days": config.judge_days,
            "--limit-windows": config.windows,
            "--epochs": config.epochs,
            "--nice": config.niceness,
        }
        words = [str(word) for pair in options.items() for word in pair]
        entry = [sys.executable, "-m", "wattcast_tools.main", "train"]
        return [*entry, "--all-applications", *words, *champions]

    async def _run(self, command: Sequence[str]) -> None:
        with (self._folder / _LOG).open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *bound_to(os.getpid(), command), stdout=log, stderr=log
            )
        try:
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), _END_REAL_S)
                except TimeoutError:
                    child.kill()
        if code:
            lines = (self._folder / _LOG).read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no word")
            raise WattcastError(f"wattcast train ended with {code}: {last}")

    async def _judge(self, entry: Mapping[str, Any], rule: Rule) -> None:
        """Enter a trained model, and promote it if it is better."""
        try:
            judged = Judgement(**entry["judged"])
            content = (self._folder / "out" / entry["file"]).read_bytes()
        except (OSError, KeyError, TypeError) as error:
            raise DataError(f"{self._folder / 'out' / _RESULT}: {error!r}") from error
        record = await self._desk.add(content, judged.application, judged)
        automatic = self._config.promote == "automatic"
        await self._desk.judged(record, judged, decide(judged, rule), automatic=automatic)

    async def _tell(self, severity: Severity, text: str) -> None:
        await self._parts.tell(RaiseEvent(severity, "training", text, self._parts.now()))


def _read(path: Path) -> dict[str, Any]:
    """A small JSON object; empty if it is not there or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)
