import asyncio
import json
from datetime import UTC, datetime

import pytest

from wattcast_coordinator.coord.election import Deposed, Elector, Leadership
from wattcast_coordinator.coord.intents import PREFIX, IntentKind, Intents, IntentState
from wattcast_coordinator.coord.registry import Registry
from wattcast_coordinator.coord.state import StateKeeper
from wattcast_core.errors import DataError

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def leadership(etcd):
    got = asyncio.get_running_loop().create_future()

    async def lead(leadership):
        got.set_result(leadership)
        await asyncio.Event().wait()

    task = asyncio.create_task(Elector(etcd, "room", "a", ttl_s=2).run(lead))
    yield await asyncio.wait_for(got, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_intents_are_written_under_the_token_and_read_back(etcd, leadership):
    intents = Intents(leadership)
    what = {"workload": "shop", "source": "s1", "target": "s7"}
    move = await intents.issue("m-1", IntentKind.MOVE, what, AT)
    transfer = await intents.issue("t-1", IntentKind.TRANSFER, {"ats": "ats1", "to": "B"}, AT)
    move = await intents.advance(move, IntentState.DONE, AT, "12 requests, none failed")
    await etcd.put(PREFIX + "garbage", "{]")
    assert await intents.list() == (move, transfer)
    assert await intents.open() == (transfer,)
    shown = json.loads((await etcd.get(PREFIX + "m-1")).value)
    assert shown["token"] == leadership.token
    assert shown["state"] == "done"
    assert shown["what"] == what


async def test_a_deposed_leader_writes_neither_intent_nor_state_nor_agent(etcd, leadership):
    deposed = Leadership(etcd, leadership.key, leadership.token - 1, leadership.lease)
    with pytest.raises(Deposed):
        await Intents(deposed).issue("m-1", IntentKind.MOVE, {}, AT)
    with pytest.raises(Deposed):
        await StateKeeper(deposed, "room").save({"n": 1})
    with pytest.raises(Deposed):
        await Registry(deposed).join("agent-1", "r1", AT)
    assert await etcd.list(PREFIX) == ()
    assert await StateKeeper(leadership, "room").load() is None


async def test_state_is_resumed_and_foreign_content_is_refused(etcd, leadership):
    keeper = StateKeeper(leadership, "room")
    await keeper.save({"confirmed": {"A": 2}, "since": AT.isoformat()})
    assert await keeper.load() == {"confirmed": {"A": 2}, "since": AT.isoformat()}
    await etcd.put("/wattcast/state/room", "7")
    with pytest.raises(DataError, match="etcdctl del"):
        await keeper.load()


async def test_agents_vanish_with_the_term(etcd, leadership):
    registry = Registry(leadership)
    await registry.join("agent-1", "r1", AT)
    await registry.join("agent-2", "r2", AT)
    await registry.leave("agent-1")
    assert [(a.id, a.rack) for a in await registry.list()] == [("agent-2", "r2")]
    await etcd.revoke(leadership.lease)
    assert await registry.list() == ()
