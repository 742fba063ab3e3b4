"""One training: learn an application's model and judge it; runs on any machine."""

import contextlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.infer.guard import Guarded, guarded, probe
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_configs.models import BASE_MODEL
from wattcast_coordinator.models.promotion import CHALLENGER, CHAMPION, Judgement
from wattcast_coordinator.train import judge, manifest, stored, stored_fit
from wattcast_coordinator.train.stored_fit import MODEL, Settings
from wattcast_core.models import ALL


@dataclass(frozen=True, slots=True)
class Job:
    """What to learn and what to judge it against; small enough to send to another machine.

    Attributes:
        application: its name, or ALL.
        source: as of ``stored.read``; another machine must reach it.
        days, judge_days: to read, and of these the newest to judge by.
        until: end of the data; None: all there is.
        applications: those with a model of their own; ALL is judged on each of them, too.
        champion: file of the model in service; empty: the one that ships.
    """

    application: str
    source: str
    days: float
    judge_days: float
    until: datetime | None = None
    settings: Settings = field(default_factory=Settings)
    applications: tuple[str, ...] = ()
    champion: bytes = b""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and how it did.

    Attributes:
        content: of the .tflite file.
        manifest: where it comes from.
        judged: by application.
    """

    content: bytes
    manifest: Mapping[str, object]
    judged: Mapping[str, Judgement]


def run(job: Job) -> Trained:
    """Train and judge.

    Raises:
        ConfigError: too little data.
        MissingExtraError: the extra ``train`` or ``agent`` is absent.
    """
    whole = stored.read(job.source, job.days, job.until)
    split = stored.split_step(whole, job.judge_days)
    mine, say = whole.of(job.application), partial(_say, job.application)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        about = stored_fit.fit(mine, job.application, split, job.settings, folder, say)
        content = (folder / MODEL).read_bytes()
        models = {
            CHALLENGER: _load(folder / "challenger.tflite", content),
            CHAMPION: _load(folder / "champion.tflite", job.champion or BASE_MODEL.read_bytes()),
        }
        say(f"judging on the newest {job.judge_days:g} days")
        updates = {
            n: Forecaster(m.predict, m.id, learned=m.learned).update for n, m in models.items()
        }
        seen = judge.sample(mine, split)
        served = judge.walk(seen, split, updates)
        names = (ALL, *job.applications) if job.application == ALL else (job.application,)
        judged = {each: judge.judge(seen, split, served, each) for each in names}
    return Trained(content, about, judged)


def _load(path: Path, content: bytes) -> Guarded:
    path.write_bytes(content)
    about = path.with_suffix(".manifest.json")
    manifest.write(about, {"sha256": manifest.sha256(path)})
    model = LiteRtModel(path, about)
    probe(guarded(model))
    return guarded(model)


def _say(application: str, line: str) -> None:
    print(f"{application}: {line}", file=sys.stderr, flush=True)
