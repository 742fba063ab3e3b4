"""The coordinator as a process: real etcd, real gRPC, real database; killed and started again."""

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from agent_double import AgentDouble
from coordinator_process import Coordinator, intents, until
from small_site import DATA_START_S, RACKS, SITE

from wattcast_coordinator.coord.server import EtcdServer
from wattcast_coordinator.store.open import open_store
from wattcast_coordinator.study.recording import from_document
from wattcast_core.messages import Batch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
EARLY = datetime.fromtimestamp(DATA_START_S, UTC) - timedelta(days=1)


def connect(agents, coordinator):
    for agent in agents.values():
        agent.port = int(coordinator.at["grpc"].rpartition(":")[2])


def unique_signatures(agents, acked_only=False):
    return {
        (s.server, s.at)
        for agent in agents.values()
        for sequence, batch in agent.sent.items()
        if sequence in agent.acked or not acked_only
        for s in batch.signatures
    }


async def test_a_forecast_overload_moves_a_switch(coordinator, agents):
    await coordinator.up()
    connect(agents, coordinator)
    state = await coordinator.until(
        lambda s: (
            sum(a["connected"] for a in s["agents"]) == len(RACKS)
            and s["store"]["signatures"] >= len(SITE["server"])
        )
    )
    token = state["leader"]["token"]
    assert token > 0
    assert {a.welcomes[0].token for a in agents.values()} == {token}
    assert {f["id"]: f["limit_w"] for f in state["feeds"]} == {"A": 600, "B": 1000, "C": 1000}
    assert not state["commands"]
    await until(lambda: all(a.acked for a in agents.values()))
    await feeds_are_forecast_and_tell_how_well(coordinator)

    agents["r0"].surge = True
    await until(lambda: agents["r0"].commands)
    command = agents["r0"].commands[0]
    assert (command.ats, command.from_source, command.to_source) == ("r0-ats", "A", "B")
    assert command.token == token
    state = await coordinator.until(
        lambda s: s["commands"] and s["commands"][0]["verified"] and s["ats"][0]["active"] == "B"
    )
    assert (state["commands"][0]["id"], state["commands"][0]["state"]) == (command.id, "done")
    (kept,) = await intents(coordinator.at["etcd"])
    assert (kept["id"], kept["token"], kept["state"]) == (command.id, token, "done")

    await future_readings_change_nothing(coordinator, agents["r1"])
    await strangers_are_told_why(coordinator)
    assert await coordinator.end(signal.SIGTERM) == 0
    assert "Traceback" not in coordinator.log.read_text()
    with pytest.raises(ConnectionRefusedError):  # its etcd went with it
        socket.create_connection(coordinator.at["etcd"].split(":"), timeout=1)


async def feeds_are_forecast_and_tell_how_well(coordinator):
    def calibrated(state):
        fans = [feed["forecast"] for feed in state["feeds"]]
        return all(fan and fan["reason"].startswith("calibrated") for fan in fans) and fans

    fans = calibrated(await coordinator.until(calibrated))
    assert all(len(fan["covered"]) == 4 for fan in fans)
    assert all(
        low <= high for fan in fans for low, high in zip(fan["q50"], fan["q99"], strict=True)
    )
    metrics = (await coordinator.http.get(coordinator.at["dashboard"] + "metrics")).text
    assert 'wattcast_feed_forecast_covered_ratio{feed="A",quantile="0.9"}' in metrics


async def future_readings_change_nothing(coordinator, agent):
    some = next(b for b in agent.sent.values() if b.signatures)
    late = {"at": datetime(2100, 1, 1, tzinfo=UTC)}
    bad = Batch(
        some.sequence,
        signatures=tuple(replace(s, **late) for s in some.signatures),
        forecasts=tuple(replace(f, issued_at=late["at"]) for f in some.forecasts),
    )
    agent.replay = [bad]
    state = await coordinator.until(
        lambda s: any(e["kind"] == "future" and agent.name in e["text"] for e in s["events"])
    )
    assert not any(s["at"].startswith("2100") for s in state["servers"])


async def strangers_are_told_why(coordinator):
    ahead = AgentDouble("agent-x", "r1", coordinator.clock, highest_token=10**9)
    lost = AgentDouble("agent-y", "r9", coordinator.clock)
    connect({"x": ahead, "y": lost}, coordinator)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(double.run()) for double in (ahead, lost)]
        await until(lambda: ahead.rejections and lost.rejections)
        for task in running:
            task.cancel()
    assert "has seen token 1000000000" in ahead.rejections[0]
    assert "remedy" in ahead.rejections[0]
    assert "rack 'r9' is not in the site file; known: r0, r1, r2" in lost.rejections[0]


async def test_a_killed_coordinator_resumes(coordinator, agents, etcd, tmp_path):
    coordinator.configure(etcd={"endpoints": [etcd.endpoint], "ttl_s": 2})
    await coordinator.up()
    connect(agents, coordinator)
    r0 = agents["r0"]
    r0.surge = r0.mute = True
    await until(lambda: r0.commands and all(a.acked for a in agents.values()))
    first = r0.commands[0]
    assert (await intents(etcd.endpoint))[0]["state"] in {"issued", "running"}
    await coordinator.end(signal.SIGKILL)
    acked = {a.name: max(a.acked) for a in agents.values()}
    kept = rows(coordinator, agents)
    assert unique_signatures(agents, acked_only=True) <= kept.signatures
    assert all(kept.acknowledged[name] >= sequence for name, sequence in acked.items())

    r0.mute = False
    for agent in agents.values():
        agent.welcomes.clear()
    await coordinator.up()
    connect(agents, coordinator)
    await until(lambda: all(a.welcomes for a in agents.values()))
    assert {a.name: a.welcomes[0].acknowledged for a in agents.values()} == kept.acknowledged
    state = await coordinator.until(lambda s: s["commands"] and s["commands"][0]["verified"])
    token = state["leader"]["token"]
    again = next(c for c in r0.commands if c.token > first.token)
    assert replace(again, token=first.token) == first
    assert (await intents(etcd.endpoint))[0]["state"] == "done"
    assert len(r0.results) == 1

    await etcd.stop()
    await coordinator.until(lambda s: not s["leader"]["token"])
    etcd_again = await EtcdServer.start(tmp_path / "etcd", quick=True)
    try:
        await coordinator.until(lambda s: s["leader"]["token"] > token)
        await replays_change_nothing(coordinator, agents)
    finally:
        await etcd_again.stop()


async def replays_change_nothing(coordinator, agents):
    for agent in agents.values():
        agent.paused = True
    await until(lambda: all(max(a.sent) in a.acked for a in agents.values()))
    for agent in agents.values():
        agent.heard.clear()
        agent.replay = list(agent.sent.values())
    await until(lambda: all(set(a.sent) <= a.heard for a in agents.values()))
    assert await coordinator.end(signal.SIGTERM) == 0
    assert "Traceback" not in coordinator.log.read_text()
    kept = rows(coordinator, agents)
    assert kept.count == len(kept.signatures) == len(unique_signatures(agents))


@dataclass
class Rows:
    """What the database holds while no coordinator owns it."""

    signatures: set
    acknowledged: dict
    count: int


def rows(coordinator, agents):
    store = open_store(f"duckdb:{coordinator.folder}/state/signatures.duckdb")
    servers = [s["id"] for s in SITE["server"]]
    try:
        return Rows(
            {(name, point.at) for name in servers for point in store.history(name, EARLY)},
            {agent.name: store.acknowledged(agent.name) for agent in agents.values()},
            store.counts().signatures,
        )
    finally:
        store.close()


async def refusal(folder, environ=None, **changes):
    """Exit code and what was said, of a coordinator that cannot start."""
    folder.mkdir()
    process = Coordinator(folder)
    process.configure(**changes)
    await process.start(os.environ | (environ or {}))
    code = await process.end(None)
    await process.http.aclose()
    log = process.log.read_text()
    lines = [line for line in log.splitlines() if line.startswith("wattcast: ")]
    assert len(lines) == 1, log
    assert "Traceback" not in log
    assert code == 2
    return lines[0]


async def test_a_taken_port_is_named(etcd, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = {"grpc": "127.0.0.1:0", "rest": "127.0.0.1:0"}
        etcd_part = {"endpoints": [etcd.endpoint]}
        said = await asyncio.gather(
            *(
                refusal(tmp_path / key, listen=listen | {key: f"127.0.0.1:{port}"}, etcd=etcd_part)
                for key in listen
            )
        )
    for key, line in zip(listen, said, strict=True):
        assert f"127.0.0.1:{port}" in line
        assert f"set listen.{key} to another port" in line


async def test_a_wrong_file_or_a_missing_etcd_is_one_clear_line(tmp_path):
    nowhere = tmp_path / "nowhere"
    no_site, unknown_key, no_etcd = await asyncio.gather(
        refusal(tmp_path / "a", site="sites.toml"),
        refusal(tmp_path / "b", stat_dir="state"),
        refusal(tmp_path / "c", {"PATH": "", "ETCD_BIN": str(nowhere)}),
    )
    assert "sites.toml" in no_site
    assert "control.toml" in unknown_key
    assert "did you mean 'state_dir'" in unknown_key
    assert f"ETCD_BIN={nowhere}: no such file; remedy: set ETCD_BIN" in no_etcd


async def test_people_see_what_power_costs_at_each_meter(coordinator, agents):
    begun = datetime.fromtimestamp(DATA_START_S, UTC).replace(minute=0, second=0)
    rows = [f"{begun + timedelta(hours=h):%Y-%m-%dT%H:%M},{100 + h}" for h in range(-2, 60)]
    (coordinator.folder / "price.csv").write_text("\n".join(["t,eur_mwh", *rows]) + "\n")
    spot = {"id": "spot", "provider": "file", "quantity": "price", "file": "price.csv",
            "column": "eur_mwh", "unit": "per_mwh"}  # fmt: skip
    meter = {"id": "m1", "feeds": ["A", "B"], "price": "spot", "losses": {"A": 0.1}}
    coordinator.configure(grid={"series": [spot], "meter": [meter]})
    await coordinator.up()
    connect(agents, coordinator)
    state = await coordinator.until(lambda s: s["meters"] and s["meters"][0]["peak_w"])
    (seen,) = state["meters"]
    assert seen["hourly_per_kwh"][1] - seen["hourly_per_kwh"][0] == pytest.approx(0.001)
    assert not seen["doubts"]
    asked = await coordinator.http.get(f"{coordinator.at['rest']}/meters")
    assert asked.json()[0]["id"] == "m1"


async def test_a_meter_of_a_feed_that_the_site_does_not_have_stops_the_start(coordinator):
    coordinator.configure(grid={"meter": [{"id": "m1", "feeds": ["Z"]}]})
    await coordinator.start()
    assert await coordinator.end(None) == 2
    assert "grid meter m1: feeds: 'Z' is not known" in coordinator.log.read_text()


async def test_questions_are_answered_about_the_live_room(coordinator, agents, tmp_path):
    await coordinator.up()
    connect(agents, coordinator)
    await coordinator.until(lambda s: s["feeds"] and s["feeds"][0]["forecast"])
    words = ("-m", "wattcast_tools.main", "plan", "--what-if", "lose feed B", "--json")
    live = ("--coordinator", coordinator.at["dashboard"], "--record", str(tmp_path / "room.json"))
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, *live, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await child.communicate()
    answer = json.loads(told)
    assert child.returncode == (3 if answer["holds"] == "no" else 0)
    lost_w = {h["feed"]: h["load_w"] for h in answer["before"]}["B"]
    after_w = {h["feed"]: h["load_w"] for h in answer["after"]}
    assert lost_w > 100
    assert set(after_w) == {"A", "C"}
    kept = from_document(json.loads((tmp_path / "room.json").read_text()), "room.json")
    assert set(kept.inputs.forecasts) == {s["id"] for s in SITE["server"]}
