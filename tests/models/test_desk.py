"""An operator's and the agents' words on models: REST, gRPC streams and etcd are real."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import grpc.aio
import httpx
import pytest
from variants import champion, model

from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.api.rest import create_app
from wattcast_coordinator.api.view import State
from wattcast_coordinator.coord.election import Leadership
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.models.promotion import CHALLENGER, Decision, Judgement
from wattcast_coordinator.models.record import KEPT
from wattcast_coordinator.models.registry import read
from wattcast_coordinator.run.models import ModelDesk
from wattcast_core.errors import Unreachable
from wattcast_core.messages import Champions, Hello, Welcome
from wattcast_core.models import ALL, ModelReport, Stage
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2, agent_pb2_grpc

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = model("old"), model("new")
FILE = {"content-type": "application/octet-stream"}


class Handler:
    """Welcomes all; an old agent speaks version 3."""

    def __init__(self, desk):
        self.desk, self.trouble = desk, None

    async def on_hello(self, hello):
        return Welcome(3 if hello.agent == "ancient" else 4, 7, -1)

    async def on_report(self, agent, report):
        await self.desk.reported(agent, report)

    async def on_gone(self, agent):
        pass


class Site:
    """A coordinator's desk with its ports; time passes with every look at the clock."""

    def __init__(self, folder):
        self.events, self.audit, self.changed = [], [], []
        self.now = NOW
        self.files = ModelFiles(folder)
        self.agents = AgentServer(handler := Handler(None), self.files)
        self.desk = ModelDesk(self.files, self.agents, self._now, self._tell, self.audit.append)
        self.desk.changed, handler.desk = self.changed.append, self.desk
        app = create_app(self, asyncio.Event(), self.desk)
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://c/api/v1")

    def _now(self):
        self.now += timedelta(seconds=1)
        return self.now

    async def _tell(self, event):
        self.events.append(event.text)

    def state(self):
        return State(now=NOW)

    async def add(self, content, application=ALL):
        where = {"application": application}
        answer = await self.http.post("/models", params=where, content=content, headers=FILE)
        assert answer.status_code == 201, answer.text
        return answer.json()["sha256"]

    async def promote(self, name, application=ALL):
        order = {"application": application, "model": name, "why": "I say so"}
        return await self.http.post("/models/promote", json=order)

    async def states(self):
        return {m["id"]: m["state"] for m in (await self.http.get("/models")).json()}


class Agent:
    """An agent's stream."""

    def __init__(self, port, name):
        self.name, self.told = name, []
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = agent_pb2_grpc.AgentLinkStub(self.channel)
        self.call = self.stub.Connect()

    async def __aenter__(self):
        await self.call.write(wire.encode_agent(Hello(self.name, "r1")))
        assert isinstance(wire.decode_coordinator(await self.call.read()), Welcome)
        return self

    async def __aexit__(self, *_):
        self.call.cancel()
        await self.channel.close()

    async def champions(self):
        message = wire.decode_coordinator(await asyncio.wait_for(self.call.read(), 5))
        assert isinstance(message, Champions)
        return [c.id for c in message.champions]

    async def say(self, content, stage, why="", application=ALL):
        wanted = champion(content, application)
        report = ModelReport(application, wanted.id, wanted.sha256, stage, why)
        await self.call.write(wire.encode_agent(report))

    async def fetch(self, sha256, offset=0):
        call = self.stub.Fetch(agent_pb2.ModelRequest(sha256=sha256, offset=offset))
        return b"".join([chunk.content async for chunk in call])


@pytest.fixture
async def site(tmp_path, leadership):
    made = Site(tmp_path / "models")
    made.port = await made.agents.start("127.0.0.1:0")
    await made.desk.take_up(leadership)
    yield made
    await made.http.aclose()
    await made.agents.stop(0)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whatever it may be
            await asyncio.sleep(0.01)


async def test_an_operator_adds_promotes_and_takes_back(site, leadership):
    shas = [await site.add(OLD), await site.add(NEW)]
    assert await site.states() == {"old": "candidate", "new": "candidate"}
    async with Agent(site.port, "a1") as agent:
        assert await agent.champions() == []
        for name in ("old", shas[1][:8]):
            assert (await site.promote(name)).status_code == 200
        assert [await agent.champions() for _ in range(2)] == [["old"], ["new"]]
        assert await agent.fetch(shas[1], 1000) == NEW[1000:]
        answer = await site.http.post("/models/rollback", json={"application": ALL, "why": "no"})
        assert answer.status_code == 200
        assert await agent.champions() == ["old"]
        assert await site.states() == {"old": "champion", "new": "rolled_back"}
        await site.http.post("/models/rollback", json={"application": ALL})
        assert await agent.champions() == []
    async with Agent(site.port, "ancient") as agent:
        await site.promote("new")  # rolled back by a person, not given up by an agent
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(agent.call.read(), 0.2)
    assert site.changed == [ALL] * 5
    done = [(entry.action, json.loads(entry.detail).get("why")) for entry in site.audit]
    assert done[2:4] == [("promote", "I say so"), ("promote", "I say so")]
    assert done[4:6] == [("roll_back", "no"), ("roll_back", "by an operator")]
    assert "new of * is rolled back (no); old serves" in site.events
    assert "old of * is rolled back (by an operator); the agents' own model serves" in site.events
    (kept,) = [r for r in (await read(leadership.etcd))[0] if r.id == "new"]
    assert kept.state == "champion"


async def test_what_cannot_be_done_is_refused_with_a_reason(site):
    async def refusal(path, **what):
        answer = await site.http.post(path, **what)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["detail"]

    where = {"params": {"application": ALL}, "headers": FILE}
    status, why = await refusal("/models", content=NEW[:-5000], **where)
    assert (status, "holds no forecast.json" in why) == (422, True)
    status, why = await refusal("/models", content=model("x", schema=9), **where)
    assert (status, "'schema' is not" in why) == (422, True)
    status, why = await refusal("/models", content=NEW, params={"application": ""}, headers=FILE)
    assert (status, "application ''" in why) == (422, True)
    status, _ = await refusal("/models", content=NEW, params={"application": ALL})
    assert status == 415, "a page of another site cannot send this"
    assert await refusal("/models/rollback", json={"application": "web"}) == (
        409, "application 'web' has no champion; agents serve their own model")  # fmt: skip
    status, why = await refusal("/models/promote", json={"application": ALL, "model": "none"})
    assert (status, why) == (409, "none is 'none' of application '*'; known: none")
    sha = await site.add(NEW)
    await site.promote("new")
    assert (await site.promote("new")).json()["detail"] == "new is the champion of * already"
    await site.add(OLD)
    site.files.discard(champion(OLD).sha256)
    assert "is not at this coordinator" in (await site.promote("old")).json()["detail"]
    assert {m["id"]: m["file"] for m in (await site.http.get("/models")).json()} == {
        "new": True, "old": False}  # fmt: skip
    site.desk.lay_down()
    assert (await site.http.get("/models")).json() == []
    assert (await site.promote("new")).status_code == 409
    with contextlib.suppress(grpc.aio.AioRpcError):
        async with Agent(site.port, "a1") as agent:
            assert await agent.fetch(sha) == NEW, "a follower gives files, too"
            await agent.fetch("0" * 64)
            pytest.fail("there is no such file")


async def test_one_defect_withdraws_a_champion_once_and_for_all(site, monkeypatch):
    real = Leadership.put

    async def slow(*what, **how):
        await asyncio.sleep(0.1)  # so that all agents have spoken before etcd answers
        await real(*what, **how)

    monkeypatch.setattr(Leadership, "put", slow)
    for name, content in (("old", OLD), ("new", NEW)):
        await site.add(content)
        await site.promote(name)
    async with contextlib.AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(Agent(site.port, f"a{n}")) for n in range(4)]
        for agent in agents:
            await agent.champions()
        await asyncio.gather(*(a.say(NEW, Stage.DEFECT, "answered NaN") for a in agents))
        for agent in agents:
            assert await agent.champions() == ["old"], "rolled back once, not once an agent"
        await asyncio.sleep(0.5)  # what the others said would have been done by now
    assert await site.states() == {"old": "champion", "new": "rolled_back"}
    assert sum("is defect: answered NaN" in text for text in site.events) == 1
    answer = await site.promote("new")
    assert "it failed in service at an agent; train it again" in answer.json()["detail"]


async def test_a_champion_that_loses_at_a_third_of_the_agents_is_withdrawn(site):
    await site.add(NEW)
    await site.promote("new")
    async with contextlib.AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(Agent(site.port, f"a{n}")) for n in range(4)]
        for agent in agents:
            await agent.champions()
            await agent.say(NEW, Stage.TRIAL)
        await until(lambda: len(site.desk.models()[0].agents) == 4)
        await agents[0].say(NEW, Stage.WORSE, "lost 9 W")
        await agents[1].say(NEW, Stage.SERVING)
        await until(lambda: site.desk.models()[0].agents["a1"] == "serving")
        assert await site.states() == {"new": "champion"}, "one of four may be a special rack"
        await agents[2].say(NEW, Stage.WORSE, "lost 8 W")
        assert await agents[3].champions() == []
    (view,) = site.desk.models()
    assert view.state == "rolled_back"
    assert "at 2 of 4 agents" in view.why
    assert view.agents == {
        "a0": "worse: lost 9 W", "a1": "serving", "a2": "worse: lost 8 W", "a3": "trial"
    }  # fmt: skip


async def test_a_word_that_etcd_could_not_take_is_taken_when_it_is_said_again(
    site, leadership, monkeypatch
):
    await site.add(NEW)
    await site.promote("new")
    real = Leadership.put

    async def away(*_, **__):
        raise Unreachable("etcd does not answer")

    async with Agent(site.port, "a1") as agent:
        await agent.champions()
        monkeypatch.setattr(Leadership, "put", away)
        await agent.say(NEW, Stage.DEFECT, "NaN")
        assert await agent.call.code() is grpc.StatusCode.UNAVAILABLE
    assert await site.states() == {"new": "champion"}
    monkeypatch.setattr(Leadership, "put", real)
    async with Agent(site.port, "a1") as agent:
        await agent.champions()
        await agent.say(NEW, Stage.DEFECT, "NaN")
        assert await agent.champions() == []


async def test_a_judged_challenger_is_promoted_or_told_of_and_the_figures_are_kept(site):
    judged = Judgement(ALL, 5000, "a", "b", {CHALLENGER: 1.5}, {CHALLENGER: 0.9})
    old = await site.desk.add(OLD, ALL, judged)
    await site.desk.judged(old, judged, Decision(promote=True, why="better"), automatic=True)
    new = await site.desk.add(NEW, ALL, judged)
    assert await site.desk.add(NEW, ALL, judged) == new, "trained twice"
    await site.desk.judged(new, judged, Decision(promote=True, why="better"), automatic=False)
    await site.desk.judged(new, judged, Decision(promote=False, why="worse"), automatic=True)
    assert await site.states() == {"old": "champion", "new": "candidate"}
    assert site.events[-2:] == ["new of * could be promoted: better",
                                "new of * is not promoted: worse"]  # fmt: skip
    facts = json.loads(next(e.detail for e in site.audit if e.action == "judge"))
    assert facts["pinball_w"] == {CHALLENGER: 1.5}
    assert (facts["promote"], facts["sha256"]) == (True, old.sha256)
    assert site.desk.models()[0].scores["targets"] == 5000


async def test_a_new_leader_knows_what_the_one_before_did_and_old_models_are_forgotten(
    site, leadership, tmp_path
):
    contents = [model(f"m{n}") for n in range(KEPT + 3)]
    for content in contents:
        await site.add(content)
    await site.promote("m3")
    await site.add(model("last"))
    names = [m.id for m in site.desk.models()]
    assert names == ["m4", "m5", "m6", "m7", "m8", "m9", "m10", "m3", "last"]
    assert len(names) == KEPT + 1
    assert len(list((tmp_path / "models").glob("*.tflite"))) == KEPT + 1
    before = site.desk.models()
    site.desk.lay_down()
    await leadership.etcd.put("/wattcast/models/rubbish", "{]")
    await site.desk.take_up(leadership)
    assert site.desk.models() == before
    assert "etcd key /wattcast/models/rubbish is no model" in site.events[-1]
