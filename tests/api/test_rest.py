import asyncio
import json
import math
import re
import signal
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from wattcast_coordinator.api.rest import create_app
from wattcast_coordinator.api.server import WebServer
from wattcast_coordinator.api.view import (
    AgentView,
    AtsView,
    EventView,
    Fan,
    FeedView,
    LeaderView,
    MeterView,
    ServerView,
    State,
    StoreView,
    WorstLoss,
)
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store.contract import HistoryPoint
from wattcast_core.errors import ConfigError

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAN = Fan(
    issued_at=NOW,
    step_s=300,
    q10=(1,),
    q50=(2,),
    q90=(3,),
    q99=(math.nan,),
    covered=(0.1, 0.5, 0.9, 1),
)
STATE = State(
    now=NOW,
    feeds=(
        FeedView(
            id='A"1',
            load_w=900.5,
            limit_w=1000,
            limit_n1_w=1250,
            forecast=FAN,
            worst_n1=WorstLoss(contingency="B", load_w=1200),
        ),
    ),
    ats=(
        AtsView(
            id="ats1",
            rack="r1",
            active="A",
            preferred="B",
            quality="good",
            sources={"A": "pduA", "B": "pduB"},
        ),
    ),
    servers=(
        ServerView(
            id="s1",
            rack="r1",
            at=NOW,
            power_w=math.nan,
            cords_w=(50.0, math.nan),
            cpu_pct=12.5,
            quality="missing",
        ),
    ),
    leader=LeaderView(id="c1", token=7),
    agents=(AgentView(id="a1", rack="r1", connected=True, last_seen=NOW),),
    store=StoreView(rows=5),
    meters=(
        MeterView(id="m1", feeds=("A",), currency="EUR", hourly_per_kwh=(0.21, 0.3), peak_w=5),
        MeterView(id="m2", feeds=("B",), currency="EUR"),
    ),
)


class Fixed:
    """A view whose snapshot the test replaces."""

    def __init__(self):
        self.now, self.document = STATE, None

    def state(self):
        return self.now

    async def history(self, server, since):
        points = [HistoryPoint(NOW + n * timedelta(hours=1), math.nan, n, "good") for n in (0, 1)]
        return [point for point in points if point.at >= since]

    async def recording(self):
        return self.document

    async def events(self, limit):
        return [RaiseEvent(Severity.CRITICAL, "n1", "loss of A", NOW)] * min(limit, 2)


@pytest.fixture
async def view():
    return Fixed()


@pytest.fixture
async def stop():
    return asyncio.Event()


@pytest.fixture
async def client(view, stop):
    web = WebServer(create_app(view, stop))
    port = await web.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        yield client
    stop.set()
    await web.stop()


async def test_the_state_and_its_parts_are_the_snapshot_and_unknown_is_null(client):
    state = (await client.get("/api/v1/state")).json()
    assert State.model_validate(state).leader.token == 7
    assert state["servers"][0]["power_w"] is None
    assert state["servers"][0]["cords_w"] == [50.0, None]
    parts = ("feeds", "ats", "servers", "workloads", "migrations", "commands", "agents", "leader")
    parts += ("meters", "jobs")
    for part in parts:
        reply = await client.get(f"/api/v1/{part}")
        assert (reply.status_code, reply.json()) == (200, state[part])


async def test_the_room_as_the_last_cycle_saw_it_is_there_once_there_was_one(client, view):
    assert (await client.get("/api/v1/recording")).status_code == 503
    view.document = {"wattcast_recording": 1, "site": {"name": "x"}, "watts": "nan"}
    reply = await client.get("/api/v1/recording")
    assert (reply.status_code, reply.json()) == (200, view.document)


async def test_history_and_events_come_from_the_store(client):
    steps = (await client.get("/api/v1/servers/s1/history")).json()
    assert [(step["power_w"], step["cpu_pct"]) for step in steps] == [(None, 0), (None, 1)]
    later = await client.get("/api/v1/servers/s1/history", params={"since": steps[1]["at"]})
    assert later.json() == steps[1:]
    events = (await client.get("/api/v1/events", params={"limit": 1})).json()
    assert [EventView.model_validate(event).kind for event in events] == ["n1"]


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/v1/servers/s9/history", 404, "GET /api/v1/servers lists all"),
        ("/api/v1/servers/s1/history?since=soon", 422, "since"),
        ("/api/v1/events?limit=0", 422, "limit"),
        ("/nowhere", 404, "Not Found"),
    ],
)
async def test_refusals_are_problem_documents(client, path, status, detail):
    reply = await client.get(path)
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status_code, reply.json()["status"]) == (status, status)
    assert detail in reply.json()["detail"]


async def test_the_stream_sends_a_snapshot_when_it_changed_and_ends_with_the_stop(
    client, view, stop
):
    async with asyncio.timeout(5), client.stream("GET", "/api/v1/stream") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = (line async for line in stream.aiter_lines() if line.startswith("data:"))
        assert json.loads((await anext(lines))[5:])["leader"]["token"] == 7
        view.now = STATE.model_copy(update={"leader": LeaderView(id="c2", token=9)})
        assert json.loads((await anext(lines))[5:])["leader"]["token"] == 9
        stop.set()
        assert [line async for line in lines] == []


async def test_health_and_metrics_can_be_scraped(client):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert 'wattcast_feed_load_watts{feed="A\\"1"} 900.5' in reply.text
    covered = 'wattcast_feed_forecast_covered_ratio{feed="A\\"1",quantile="0.9"} 0.9'
    assert covered in reply.text
    assert "wattcast_leader_token 7" in reply.text
    assert 'wattcast_meter_price_per_kwh{meter="m1"} 0.21' in reply.text
    assert 'wattcast_meter_price_per_kwh{meter="m2"}' not in reply.text
    assert 'wattcast_meter_peak_watts{meter="m1"} 5' in reply.text
    assert "wattcast_server_power_watts{" not in reply.text
    assert reply.text.endswith("# EOF\n")


async def test_the_interface_is_described(client):
    described = (await client.get("/openapi.json")).json()
    assert {"/api/v1/state", "/api/v1/servers/{server}/history"} <= described["paths"].keys()
    feeds = described["paths"]["/api/v1/feeds"]["get"]["responses"]["200"]
    assert "FeedView" in json.dumps(feeds)


async def test_the_page_needs_nothing_from_elsewhere(client):
    page = (await client.get("/")).text
    assert "EventSource" in page
    assert re.findall(r"https?://|@import|<link[^>]+href=\"(?!data:)|src=", page) == []


async def test_a_taken_port_is_told_and_signals_stay_with_the_coordinator(client, view, stop):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigError, match=r"listen\.rest"):
        await WebServer(create_app(view, stop)).start("127.0.0.1", client.base_url.port)
    assert signal.getsignal(signal.SIGTERM) is before is signal.SIG_DFL
