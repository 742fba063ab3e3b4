"""The coordinator trains models again: real processes, real files, a real registry."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import panels
import pytest
from processes import alive
from variants import model

from wattcast_configs.control import Control, Models
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.models.promotion import (
    CHALLENGER,
    CHAMPION,
    PERSISTENCE,
    SEASONAL,
    Judgement,
)
from wattcast_coordinator.models.record import ModelState
from wattcast_coordinator.models.registry import ModelRegistry
from wattcast_coordinator.run.drift import DriftWatch
from wattcast_coordinator.run.models import ModelDesk
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.training import Training
from wattcast_coordinator.store.judged import Judged
from wattcast_core.models import ALL

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOSSES = {CHALLENGER: 1.0, CHAMPION: 2.0, PERSISTENCE: 3.0, SEASONAL: 3.0}
WON = Judgement(ALL, 5000, "a", "b", LOSSES, dict.fromkeys(LOSSES, 0.9))
MODELS = Models(retrain_days=7.0, train_days=3.0, judge_days=0.5, windows=300, epochs=1)


class Store:
    """A day and a half of two servers; forecasts that are right until ``wrong_from``."""

    def __init__(self):
        self.asked, self.wrong_from = [], datetime.max.replace(tzinfo=UTC)

    async def steps_to_file(self, path, since, until):
        self.asked.append((since, until))
        panels.write(path, days=1.6, servers=2)

    async def judged(self, since, until):
        first, last = (round(at.timestamp()) // 300 for at in (since, until))
        steps = np.repeat(np.arange(first + 1, last + 1), 20)
        noise = np.random.default_rng(first).normal(0.0, 10.0, (2, len(steps)))
        actual = 200.0 + noise[0]
        quantiles = 200.0 + np.array([-12.8, 0.0, 12.8, 23.3]) + np.zeros((len(steps), 1))
        quantiles[steps * 300 > self.wrong_from.timestamp()] -= 60.0
        names = np.where(np.arange(len(steps)) % 2, "web", "mail")
        return Judged(names, steps * 300_000, quantiles, actual, 200.0 + noise[1])

    def write_event(self, event):
        pass


class Site:
    """A coordinator's models."""

    def __init__(self, folder, leadership, config):
        self.folder, self.now, self.events, self.store = folder / "state", NOW, [], Store()
        self.leadership = leadership
        control = Control(id="a", site="s", state_dir="state", models=config)
        agents = SimpleNamespace(tell_champions=lambda _: None)
        clock = SimpleNamespace(now=lambda _: self.now)
        board = SimpleNamespace(note=lambda event: self.events.append(event.text))
        self.parts = Parts(
            control, None, clock, board, self.store, agents, None, None, None, None, folder
        )
        files = ModelFiles(self.folder / "models")
        self.desk = ModelDesk(files, agents, self.parts.now, self.parts.tell, lambda _: None)

    @asynccontextmanager
    async def term(self, kind=Training):
        """Trainings of a term; at its end they are cut off."""
        await self.desk.take_up(self.leadership)
        try:
            async with asyncio.TaskGroup() as tasks:
                yield kind(self.parts, self.desk, tasks)
                raise asyncio.CancelledError  # noqa: TRY301 - what ends a term
        except asyncio.CancelledError:
            self.desk.lay_down()

    def states(self):
        return {m.id: m.state for m in self.desk.models()}

    def left(self):
        return {path.name for path in (self.folder / "training").iterdir()} - {"train.log"}


def scripted(code):
    """A training whose process runs ``code`` with the folder of results."""

    class Scripted(Training):
        def _command(self, data):
            assert data.is_file()
            return [sys.executable, "-c", code, str(self._folder / "out")]

    return Scripted


def result(folder, judged=WON):
    """Code that leaves a trained model."""
    (folder / "trained.tflite").write_bytes(model("fresh"))
    entry = {"application": ALL, "file": "model.tflite", "judged": asdict(judged)}
    return (
        "import sys, shutil, pathlib\n"
        "out = pathlib.Path(sys.argv[1]); out.mkdir()\n"
        f"shutil.copy({str(folder / 'trained.tflite')!r}, out / 'model.tflite')\n"
        f"(out / 'result.json').write_text({json.dumps({'models': [entry]})!r})\n"
    )


@pytest.fixture
def site(tmp_path, leadership):
    return Site(tmp_path, leadership, MODELS)


async def until(condition, patience_real_s=20.0):
    async with asyncio.timeout(patience_real_s):
        while not condition():  # noqa: ASYNC110 - whatever it may be
            await asyncio.sleep(0.02)


async def test_when_its_days_have_passed_a_better_model_is_trained_and_serves(site, tmp_path):
    async with site.term(scripted(result(tmp_path))) as training:
        await training.look(NOW)
        await training.look(NOW + 6.9 * DAY)
        assert site.store.asked == []
        await training.look(due := NOW + 7 * DAY)
        await training.look(due)
        await until(lambda: not training.running)
        assert site.left() == {"last.json"}
        assert site.store.asked == [(due - 3 * DAY, due)]
        assert site.states() == {"fresh": "champion"}
        assert "training begins: 7 days have passed" in site.events[0]
        await training.look(due + 6 * DAY)
        assert len(site.store.asked) == 1


async def test_who_only_wants_advice_is_told(tmp_path, leadership):
    site = Site(tmp_path, leadership, Models(retrain_days=1.0, promote="advise"))
    async with site.term(scripted(result(tmp_path))) as training:
        await training.look(NOW)
        await training.look(NOW + DAY)
        await until(lambda: not training.running)
        assert site.left() == {"last.json"}
        assert site.states() == {"fresh": "candidate"}
        assert "fresh of * could be promoted" in site.events[-1]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.exit('too little was measured')", "ended with 1: too little was"),
        ("", "result.json: is missing or damaged"),
        (
            (
                "import sys, pathlib; out = pathlib.Path(sys.argv[1]); out.mkdir()\n"
                "(out / 'result.json').write_text('{\"models\": [{}]}')"
            ),
            "result.json: KeyError",
        ),
    ],
    ids=["an error", "no result", "half a result"],
)
async def test_a_training_that_fails_is_told_and_stops_nothing(site, code, why):
    async with site.term(scripted(code)) as training:
        await training.look(NOW)
        await training.look(NOW + 7 * DAY)
        await until(lambda: not training.running)
        assert site.left() == {"last.json"}
        assert why in site.events[-1]
        assert site.states() == {}
        await training.look(NOW + 8 * DAY)
        assert len(site.store.asked) == 1, "not at once again"


async def test_a_training_ends_with_its_term_and_the_next_one_goes_on(site, tmp_path):
    began = tmp_path / "pid"
    sleeping = (
        "import os, time, pathlib\n"
        f"pathlib.Path({str(began)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    async with site.term(scripted(sleeping)) as training:
        await training.look(NOW)
        await training.look(due := NOW + 7 * DAY)
        await until(lambda: began.exists() and began.read_text())
    assert not alive(int(began.read_text()))
    assert site.left() == {"job.json", "last.json", "steps.parquet"}
    async with site.term(scripted(result(tmp_path))) as training:
        await training.look(due + DAY)
        await until(lambda: not training.running)
        assert site.left() == {"last.json"}
        assert len(site.store.asked) == 1, "the data are there"
        assert site.states() == {"fresh": "champion"}


async def test_drift_is_told_once_and_brings_a_training(site, tmp_path):
    site.store.wrong_from = NOW + 2 * DAY
    async with site.term(scripted(result(tmp_path))) as training:
        for hours in range(48):
            await training.look(NOW + timedelta(hours=hours))
        assert site.events == []
        for hours in range(48, 60):
            await training.look(NOW + timedelta(hours=hours))
        await until(lambda: not training.running)
        assert site.left() == {"last.json"}
        drifts = [text for text in site.events if text.startswith("forecasts of")]
        assert len(drifts) == 3, "all, and either application"
        assert "forecasts of application mail drift: loss above what is usual" in drifts[1]
        assert any("training begins: drift: *, mail, web" in text for text in site.events)
        assert len(site.store.asked) == 1


async def test_another_leader_finds_the_same_drift(site):
    site.store.wrong_from = NOW
    one, two = DriftWatch(site.parts), DriftWatch(site.parts)
    for hours in range(-24, 12):
        await one.look(NOW + timedelta(hours=hours))
    await two.look(NOW + timedelta(hours=11))
    assert one.alarms.keys() == two.alarms.keys() == {ALL, "mail", "web"}
    one.forget("web")
    assert one.alarms.keys() == {"mail"}


@pytest.mark.train
@pytest.mark.slow
async def test_the_command_itself_is_run_and_its_model_entered(site, leadership):
    files = ModelFiles(site.folder / "models")
    before = files.add(model("before"), ALL)
    older = replace(before, application="web", schema=1)  # before Wattcast was updated
    champions = [replace(r, state=ModelState.CHAMPION) for r in (before, older)]
    await ModelRegistry(leadership).put(champions)
    async with site.term() as training:
        await training.look(NOW)
        await training.look(NOW + 7 * DAY)
        await until(
            lambda: not training.running, 900.0
        )  # at niceness 15, on a machine that others use too
        (entered,) = [m for m in site.desk.models() if m.scores]
        assert entered.scores["targets"] > 100
        assert CHAMPION in entered.scores["pinball_w"]
        assert entered.state == "candidate", "one epoch on 300 windows"
