"""Leases of racks in a real etcd."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from wattcast_coordinator.coord.election import Deposed, Elector, Leadership
from wattcast_coordinator.coord.racks import PREFIX, TTL_REAL_S, Racks
from wattcast_core.units import EPOCH

pytestmark = pytest.mark.integration
AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
async def leadership(etcd):
    term = asyncio.get_running_loop().create_future()

    async def lead(leadership):
        term.set_result(leadership)
        await asyncio.Event().wait()

    campaign = asyncio.create_task(Elector(etcd, "racks", "c1").run(lead))
    yield await term
    campaign.cancel()
    await asyncio.gather(campaign, return_exceptions=True)


async def beat(racks, agent, now_s, epoch=0, *, leaving=False):
    at = AT + timedelta(seconds=now_s)
    return await racks.beat("r1", agent, now_s, at, epoch=epoch, leaving=leaving)


async def test_the_first_agent_holds_until_it_is_silent_for_the_whole_time(leadership):
    racks = Racks(leadership, 0.0)
    assert (await beat(racks, "a", 0.0)).epoch == 1
    assert (await beat(racks, "b", 1.0)).holder == "a"
    await beat(racks, "a", 2.0)
    assert (await beat(racks, "b", 1.9 + TTL_REAL_S)).holder == "a"
    taken = await beat(racks, "b", 2.0 + TTL_REAL_S)
    assert (taken.holder, taken.epoch) == ("b", 2)
    assert (await beat(racks, "a", 8.0)).holder == "b", "it does not take it back"
    assert racks.redundant("r1", {"a": "r1", "b": "r1", "c": "r2"}, 8.0)
    assert not racks.redundant("r1", {"a": "r1", "b": "r1"}, 13.0)
    spans = taken.spans("a"), taken.spans("b")
    change = AT + timedelta(seconds=2.0 + TTL_REAL_S)
    assert spans == ([(EPOCH, change)], [(change, None)])


async def test_of_two_that_beat_at_once_one_is_granted_the_rack(leadership):
    racks = Racks(leadership, 0.0)
    told = await asyncio.gather(*(beat(racks, name, 0.0) for name in "abcd"))
    assert len({(lease.epoch, lease.holder) for lease in told}) == 1


async def test_an_agent_that_leaves_is_replaced_at_once(leadership):
    racks = Racks(leadership, 0.0)
    await beat(racks, "a", 0.0)
    await beat(racks, "a", 0.5, leaving=True)
    assert (await beat(racks, "b", 1.0)).holder == "b"


async def test_a_new_term_knows_the_leases_and_gives_holders_time(leadership):
    racks = Racks(leadership, 0.0)
    await beat(racks, "a", 0.0)
    assert await racks.keep("r1", "a", "state of a")
    assert not await racks.keep("r1", "b", "state of b")
    later = Racks(leadership, 100.0)
    assert await later.load() == []
    assert (await beat(later, "b", 104.0)).holder == "a"
    taken = await beat(later, "b", 105.0)
    assert (taken.holder, taken.copy) == ("b", "state of a")


async def test_an_etcd_that_was_emptied_does_not_lower_the_epoch(leadership):
    racks = Racks(leadership, 0.0)
    assert (await beat(racks, "a", 0.0, epoch=7)).epoch == 8


async def test_a_damaged_record_is_told_and_nothing_is_granted(leadership, etcd):
    await etcd.put(PREFIX + "r1", '{"rack": "r1", "epoch": "many"}')
    racks = Racks(leadership, 0.0)
    problems = await racks.load()
    assert "remedy" in problems[0]
    assert (await beat(racks, "a", 0.0)).holder == ""


async def test_a_deposed_coordinator_grants_nothing(leadership, etcd):
    old = Leadership(etcd, leadership.key, leadership.token - 1, leadership.lease)
    racks = Racks(old, 0.0)
    with pytest.raises(Deposed):
        await beat(racks, "a", 0.0)
    assert racks.of("r1").holder == ""
