"""Migrations of real processes behind a real proxy lose no request and no acknowledged write."""

import asyncio
import contextlib

import pytest

from wattcast_coordinator.act.migration import Migrator
from wattcast_coordinator.migrate.memory import Limits
from wattcast_coordinator.migrate.steps import StepName
from wattcast_coordinator.ports import Move, MoveState

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

THERE = Move("web", "s1", "s2", 0.0, "test")
FORWARD = [
    StepName.PRE_COPY,
    StepName.START,
    StepName.ATTACH,
    StepName.UP,
    StepName.CATCH_UP,
    StepName.QUIESCE,
    StepName.FINAL_COPY,
    StepName.RELOAD,
    StepName.SWITCH,
    StepName.RELEASE,
    StepName.STOP_SOURCE,
    StepName.DETACH,
    StepName.DISCARD_SOURCE,
]

AT_THE_PROXY = [
    StepName.ATTACH,
    StepName.UP,
    StepName.SWITCH,
    StepName.RELEASE,
    StepName.DETACH,
]


def ignore(step: str) -> None:
    pass


async def assert_only_on(place, server: str) -> None:
    assert (await place.executor.placement())["web"] == (server,)
    address = await place.executor.address("web", server)
    assert dict(await place.redirector.endpoints("web")) == {address: True}
    others = {"s1", "s2", "s3"} - {server}
    assert [await place.executor.address("web", s) for s in others] == [None, None]


async def test_migrations_there_and_back_lose_nothing(place):
    migrator = Migrator(place.executor, place.redirector)
    steps: list[str] = []
    async with place.writer() as writer:
        for source, target in [("s1", "s2"), ("s2", "s3"), ("s3", "s1")]:
            await asyncio.sleep(0.3)
            status = await migrator.run("i", Move("web", source, target, 0, "test"), steps.append)
            assert status.state is MoveState.DONE, status
            assert 0 < status.duration_s < 10
        await asyncio.sleep(0.2)
    await migrator.aclose()
    assert writer.failures == []
    assert await writer.lost() == []
    assert len(writer.acknowledged) == writer.requests > 100
    assert [s for s in steps if s in FORWARD] == FORWARD * 3
    assert writer.worst_s < 3
    await assert_only_on(place, "s1")


async def test_two_workloads_move_at_once(place):
    migrator = Migrator(place.executor, place.redirector)
    moves = [THERE, Move("shop", "s1", "s3", 0.0, "test")]
    async with place.writer("web", 4) as web, place.writer("shop", 4) as shop:
        ends = await asyncio.gather(*(migrator.run("i", move, ignore) for move in moves))
    await migrator.aclose()
    assert [end.state for end in ends] == [MoveState.DONE] * 2
    assert web.failures == shop.failures == []
    assert await web.lost() == await shop.lost() == []


async def killed(place, move: Move, crash: StepName, delay_s: float) -> None:
    """Run a migration whose coordinator dies ``delay_s`` after it began a step."""
    migrator = Migrator(place.executor, place.redirector)

    def progress(step: str) -> None:
        if step == crash:
            asyncio.get_running_loop().call_later(delay_s, task.cancel)

    task = asyncio.create_task(migrator.run("i", move, progress))
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await migrator.aclose()


async def test_a_coordinator_killed_twice_at_any_step_resumes(place):
    source, target = "s1", "s2"
    async with place.writer(clients=4) as writer:
        for crash in FORWARD if place.kind == "envoy" else AT_THE_PROXY:
            move = Move("web", source, target, 0.0, "test")
            await killed(place, move, crash, 0.0)  # before it acts
            await killed(place, move, crash, 0.004)  # while it acts
            migrator = Migrator(place.executor, place.redirector)
            status = await migrator.run("i", move, ignore)
            await migrator.aclose()
            assert status.state is MoveState.DONE, (crash, status)
            await assert_only_on(place, target)
            source, target = target, source
    assert writer.failures == []
    assert await writer.lost() == []


async def test_a_lease_that_lapses_after_the_switch_loses_nothing(place):
    async with place.writer(clients=4) as writer:
        migrator = Migrator(place.executor, place.redirector, lease_s=2.2)

        def seen(step: str) -> None:
            if step == StepName.RELEASE:
                task.cancel()

        task = asyncio.create_task(migrator.run("i", THERE, seen))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await migrator.aclose()
        await asyncio.sleep(2.4)  # held requests are now acknowledged by the source alone
        migrator = Migrator(place.executor, place.redirector)
        status = await migrator.run("i", THERE, ignore)
    await migrator.aclose()
    assert status.state is MoveState.DONE
    assert "records merged" in status.step
    assert writer.failures == []
    assert await writer.lost() == []
    await assert_only_on(place, "s2")


async def test_a_target_that_never_gets_healthy_is_undone(place, monkeypatch):
    migrator = Migrator(place.executor, place.redirector, limits=Limits(before_s=1.0))
    start = place.executor.start

    async def deaf(workload: str, server: str) -> str:
        return await start("shop", server)  # the wrong one: ``web`` never runs there

    monkeypatch.setattr(place.executor, "start", deaf)
    async with place.writer(clients=4) as writer:
        status = await migrator.run("i", THERE, ignore)
    await migrator.aclose()
    assert status.state is MoveState.UNDONE
    assert writer.failures == []
    assert await writer.lost() == []
    await assert_only_on(place, "s1")
