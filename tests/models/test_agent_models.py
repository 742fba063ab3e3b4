"""The models of an agent: real files in the real runtime, from a source that may spoil them."""

import asyncio
import contextlib
import re

import numpy as np
import pytest
from variants import BASE, answer_of, champion, changed, end_of, model, nan, nonsense, signatures

from wattcast_agent.forecast import trial
from wattcast_agent.forecast.roster import OWN, Roster
from wattcast_agent.infer.guard import Guarded
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_agent.infer.shelf import Shelf
from wattcast_agent.run import models as running
from wattcast_agent.run.models import Models
from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_core.errors import Unreachable
from wattcast_core.models import ALL, Stage

ISSUES = 6  # a trial is short here: the two networks are the same
GOOD = model("good", probe=answer_of(BASE))
BETTER = model("better")


class Source:
    """A coordinator's files by what is asked for; ``cuts`` ends that many downloads early."""

    def __init__(self, *contents):
        self.files = {champion(content).sha256: content for content in contents}
        self.cuts, self.offsets = 0, []

    async def __call__(self, sha256, offset):
        self.offsets.append(offset)
        content = self.files[sha256]
        for at in range(offset, len(content), 100_000):
            if self.cuts and at > offset:
                self.cuts -= 1
                raise Unreachable("the connection ended")
            yield content[at : at + 100_000]
            await asyncio.sleep(0)


class Rig:
    """Models of an agent on a folder; may be started again."""

    def __init__(self, folder, source, applications=("",)):
        self.folder, self.source, self.applications = folder, source, applications
        self.told, self.step = [], 0
        self.start()

    def start(self):
        own = LiteRtModel(BASE_MODEL, BASE_MANIFEST)
        self.roster = Roster(Guarded(own.predict, own.id))
        self.models = Models(Shelf(self.folder), self.roster, self.applications)

    @contextlib.asynccontextmanager
    async def following(self):
        task = asyncio.create_task(self.models.run(self.source, self.told.append))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def steps(self, count, application=""):
        out = []
        for k in range(self.step, self.step + count):
            new = signatures(k, application=application)
            out.append(self.models.update(new, end_of(k), float(k)))
        self.step += count
        return out

    def stages(self, name):
        return [r.stage for r in self.told if r.id == name]

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - whatever it may be
                await asyncio.sleep(0.01)

    async def taken(self, content, application=ALL):
        """Have a champion on trial."""
        self.models.want([champion(content, application)])
        await self.until(lambda: self.roster.serving(application) == champion(content).sha256)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(trial, "ISSUES", ISSUES)
    monkeypatch.setattr(running, "_AGAIN_REAL_S", (0.02, 0.05))
    monkeypatch.setattr(trial, "ISSUES", ISSUES)


async def test_a_champion_is_fetched_tried_proven_and_serves_after_a_restart(tmp_path):
    rig = Rig(tmp_path, Source(GOOD, BETTER))
    rig.steps(10)
    async with rig.following():
        await rig.taken(GOOD)
        rig.steps(ISSUES + 2)
        assert rig.stages("good") == [Stage.TRIAL, Stage.SERVING]
        await rig.taken(BETTER)
    rig.start()
    assert rig.roster.serving(ALL) == champion(BETTER).sha256, "still on trial"
    rig.steps(10 + ISSUES)
    rig.start()
    place = Shelf(tmp_path).places[ALL]
    assert (place.serving, place.kept) == (champion(BETTER).sha256, champion(GOOD).sha256)
    assert {f.model_id for f in rig.steps(10)[-1]} <= {"better", "naive"}
    assert [(r.id, r.stage) for r in rig.models.reports()] == [("better", Stage.SERVING)]


SPOILED = {
    "truncated": (GOOD, GOOD[:300_000], f"cut off: 300000 of {len(GOOD)} bytes"),
    "another hash": (GOOD, GOOD[:-1] + b"x", "sha256 of what came is"),
    "no model": (b"not a model" * 100, None, "holds no forecast.json"),
    "other schema": (model("s9", schema=9), None, "'schema' is not 2"),
    "other inputs": (model("f", recent=["power"]), None, "'recent' is not"),
    "no range": (model("r", learned_between={"low": [0]}), None, "'learned_between' is damaged"),
    "not a network": (model("z", b"z" * 1000 + BASE[1000:]), None, "cannot run it"),
    "another answer": (model("a", probe=answer_of(BASE, 0.01)), None, "answers otherwise"),
    "no answer": (model("b", probe=[1, 2]), None, "'probe' holds no answer"),
    "no numbers": (nan(), None, "probe: nan answered .* numbers not finite"),
}


@pytest.mark.parametrize("name", SPOILED)
async def test_what_cannot_be_trusted_is_refused_and_the_agent_goes_on(tmp_path, name):
    content, sent, why = SPOILED[name]
    wanted = champion(content)
    source = Source()
    source.files[wanted.sha256] = content if sent is None else sent
    rig = Rig(tmp_path, source)
    rig.steps(10)
    async with rig.following():
        rig.models.want([wanted])
        await rig.until(lambda: rig.told)
    (report,) = {r for r in rig.told if r.stage is Stage.REFUSED}
    assert re.search(why, report.why), report.why
    assert rig.roster.serving(ALL) == OWN
    assert len(rig.steps(1)[0]) == 2
    assert not Shelf(tmp_path).places.get(ALL) or not Shelf(tmp_path).places[ALL].serving


async def test_another_schema_is_refused_before_anything_is_fetched(tmp_path):
    rig = Rig(tmp_path, Source(GOOD))
    async with rig.following():
        rig.models.want([champion(GOOD, schema=9)])
        await rig.until(lambda: rig.told)
    assert "made for schema 9" in rig.told[0].why
    assert rig.source.offsets == []


async def test_a_download_goes_on_after_the_connection_ended_and_a_spoiled_one_begins_anew(
    tmp_path,
):
    rig = Rig(tmp_path, Source(GOOD))
    rig.source.cuts = 2
    async with rig.following():
        await rig.taken(GOOD)
    assert rig.source.offsets == [0, 100_000, 200_000][: len(rig.source.offsets)]
    assert len(rig.source.offsets) == 3
    other = Rig(tmp_path / "other", Source(BETTER))
    sha = champion(BETTER).sha256
    (tmp_path / "other" / f"{sha}.part").write_bytes(b"x" * 50_000)
    async with other.following():
        await other.taken(BETTER)
    assert other.source.offsets == [50_000, 0]
    assert other.stages("better") == [Stage.REFUSED, Stage.TRIAL]


async def test_a_model_that_loses_more_goes_back_and_is_not_taken_again(tmp_path):
    bad = nonsense()
    rig = Rig(tmp_path, Source(bad))
    rig.steps(110)
    assert any(f.kind == "lstm" for f in rig.steps(1)[0])
    async with rig.following():
        await rig.taken(bad)
        rig.steps(ISSUES + 10)
        assert rig.stages("nonsense") == [Stage.TRIAL, Stage.WORSE]
        assert rig.roster.serving(ALL) == OWN
        rig.models.want([champion(bad)])
        await asyncio.sleep(0.1)
    rig.start()
    assert rig.roster.serving(ALL) == OWN
    (report,) = rig.models.reports()
    assert report.stage is Stage.WORSE
    assert "where the one before lost" in report.why


async def test_a_proven_model_that_fails_gives_way_to_the_one_before(tmp_path, monkeypatch):
    real, failing = LiteRtModel.predict, set()
    monkeypatch.setattr(
        LiteRtModel, "predict", lambda m, x: real(m, x) * (np.nan if m.id in failing else 1.0)
    )
    rig = Rig(tmp_path, Source(GOOD, BETTER))
    rig.steps(10)
    async with rig.following():
        for content in (GOOD, BETTER):
            await rig.taken(content)
            rig.steps(ISSUES + 2)
        failing.add("better")
        assert len(rig.steps(1)[0]) == 2
        assert rig.roster.serving(ALL) == champion(GOOD).sha256
        assert len(rig.steps(1)[0]) == 2
    assert rig.stages("better")[-1] is Stage.DEFECT
    assert Shelf(tmp_path).places[ALL].serving == champion(GOOD).sha256


async def test_a_file_damaged_on_disk_gives_way_to_the_one_before(tmp_path):
    rig = Rig(tmp_path, Source(GOOD, BETTER))
    rig.steps(10)
    async with rig.following():
        for content in (GOOD, BETTER):
            await rig.taken(content)
            rig.steps(ISSUES + 2)
    path = Shelf(tmp_path).path(champion(BETTER).sha256)
    path.write_bytes(path.read_bytes()[:1000])
    rig.start()
    assert rig.roster.serving(ALL) == champion(GOOD).sha256
    assert "corrupt" in {r.id: r.why for r in rig.models.reports()}["better"]


async def test_a_withdrawn_model_leaves_at_once(tmp_path):
    rig = Rig(tmp_path, Source(GOOD, BETTER))
    rig.steps(10)
    async with rig.following():
        await rig.taken(GOOD)
        rig.steps(ISSUES + 2)
        await rig.taken(BETTER)
        await rig.taken(GOOD)  # during the trial
        assert Shelf(tmp_path).places[ALL].trial == ""
        await rig.taken(BETTER)
        rig.steps(ISSUES + 2)
        await rig.taken(GOOD)  # after it: without a trial
        assert rig.told[-1].stage is Stage.SERVING
        rig.models.want([])
        await rig.until(lambda: rig.roster.serving(ALL) == OWN)
    assert not Shelf(tmp_path).places
    assert not list(tmp_path.glob("*.tflite"))


async def test_only_what_this_rack_needs_is_fetched(tmp_path):
    web = model("web")
    rig = Rig(tmp_path, Source(GOOD, web), applications=("web",))
    rig.steps(10, "web")
    async with rig.following():
        rig.models.want([champion(GOOD), champion(web, "web"), champion(BETTER, "mail")])
        await rig.until(lambda: rig.roster.serving("web") == champion(web).sha256)
        await asyncio.sleep(0.05)
        assert rig.roster.serving(ALL) == OWN, "no server is without a model of its own"
        rig.steps(ISSUES + 2, "web")
    assert rig.stages("web") == [Stage.TRIAL, Stage.SERVING]
    rig.start()
    assert rig.roster.serving("web") == champion(web).sha256


def test_the_variants_differ():
    assert changed(lambda w: w) == BASE
    assert len({GOOD, BETTER, nan(), nonsense(), BASE}) == 5
