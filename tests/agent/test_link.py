import asyncio
import contextlib
import logging

import pytest
from coordinator_double import CoordinatorDouble
from switch import order

from wattcast_agent.discover.fixed import Fixed
from wattcast_agent.link import client, codec
from wattcast_agent.link.client import Link
from wattcast_agent.spool.store import Spool
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.errors import ConfigError
from wattcast_core.messages import Ack, Batch, Hello, Rejected, Welcome
from wattcast_core.samples import Sample
from wattcast_core.units import from_epoch_s

pytestmark = pytest.mark.integration


class Bench:
    """A link between a real spool and a coordinator that may come and go."""

    def __init__(self, path, coordinator):
        self.spool = Spool(path / "spool.db", 100)
        self.inbox = asyncio.Queue()
        self.coordinator = coordinator
        self.link = None

    def add(self, count, size=1):
        for _ in range(count):
            n = self.spool.highest + 1
            samples = tuple(
                Sample(f"m{i}", "inlet.1.power_w", n, from_epoch_s(n)) for i in range(size)
            )
            self.spool.append(codec.pack(Batch(0, samples=samples)))
        if self.link:
            self.link.wake()

    @contextlib.asynccontextmanager
    async def linked(self):
        hello = Hello("agent-1", "rack-1", highest_token=3)
        directory = Fixed(self.coordinator.address)
        self.link = Link(self.spool, directory, lambda: hello, self.inbox.put_nowait)
        task = asyncio.create_task(self.link.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def stored(self):
        """Sequence number inside each stored sample, in the order of arrival."""
        return [int(s.value) for b in self.coordinator.batches for s in b.samples[:: self.size]]

    size = 1


@pytest.fixture
async def coordinator():
    double = CoordinatorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
def bench(tmp_path, coordinator):
    made = Bench(tmp_path, coordinator)
    yield made
    made.spool.close()


async def emptied(bench):
    deadline = asyncio.get_running_loop().time() + 10
    while bench.spool.count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_the_handshake_tells_who_speaks_and_takes_the_token(bench, coordinator):
    async with bench.linked():
        assert await bench.inbox.get() == Welcome(3, 5, -1)
    assert coordinator.hellos[0].highest_token == 3


async def test_batches_go_up_in_order_and_leave_the_spool_when_acknowledged(bench, coordinator):
    async with bench.linked():
        await bench.inbox.get()
        for _ in range(5):
            bench.add(1)
            await coordinator.until(lambda: coordinator.acknowledged == bench.spool.highest)
        await emptied(bench)
    assert bench.stored() == [100, 101, 102, 103, 104]
    assert all(b.live for b in coordinator.batches)


async def test_what_waited_is_sent_together_and_is_not_live_but_the_newest_is(bench, coordinator):
    bench.add(50)
    async with bench.linked():
        await emptied(bench)
        assert coordinator.batches[0].live is False  # from an earlier life of the agent
        await coordinator.stop()
        bench.add(30)
        await coordinator.start()
        await emptied(bench)
    assert bench.stored() == list(range(100, 180))
    assert [b.live for b in coordinator.batches[-2:]] == [False, True]
    assert coordinator.batches[-1].sequence == 179
    assert len(coordinator.batches) < 10


async def test_a_big_backlog_is_cut_into_messages(bench, coordinator, monkeypatch):
    monkeypatch.setattr(client, "_MESSAGE_BYTES", 20_000)
    bench.size = 100
    bench.add(60, size=100)
    async with bench.linked():
        await emptied(bench)
    assert bench.stored() == list(range(100, 160))
    assert len(coordinator.batches) > 5


async def test_nothing_is_lost_or_given_twice_while_the_coordinator_comes_and_goes(
    bench, coordinator
):
    async with bench.linked():
        for _ in range(4):
            bench.add(5)
            await asyncio.sleep(0.02)
            await coordinator.stop()
            bench.add(5)
            await coordinator.start()
            await coordinator.until(lambda: coordinator.acknowledged >= 104)
        await emptied(bench)
    assert sorted(set(bench.stored())) == list(range(100, 140))


async def test_commands_come_down_and_results_go_up_even_over_a_reconnect(bench, coordinator):
    result = CommandResult("c1", "ats", 5, Outcome.TRANSFERRED, "", from_epoch_s(1))
    async with bench.linked():
        await bench.inbox.get()
        coordinator.command(order())
        assert await bench.inbox.get() == order()
        await coordinator.stop()
        bench.link.answer(result)
        await coordinator.start()
        await coordinator.until(lambda: coordinator.results == [result])


async def test_a_coordinator_that_hangs_is_left_and_tried_again(bench, coordinator, monkeypatch):
    monkeypatch.setattr(client, "_ACK_REAL_S", 0.2)
    coordinator.acknowledge = False
    async with bench.linked():
        bench.add(1)
        await coordinator.until(lambda: len(coordinator.hellos) == 2)
        coordinator.acknowledge = True
        await emptied(bench)
    assert bench.stored() == [100]


async def test_a_rejection_is_told_once_and_tried_again(bench, coordinator, caplog):
    caplog.set_level(logging.INFO)
    coordinator.answer_hello = lambda _: Rejected("not the leader")
    async with bench.linked():
        await coordinator.until(lambda: len(coordinator.hellos) == 3)
    assert [r.message for r in caplog.records if "rejected" in r.message] == [
        f"coordinator: {coordinator.address}: rejected: not the leader"
    ]


async def test_a_spool_made_anew_loses_nothing_to_old_acknowledgements(bench, coordinator):
    coordinator.batches.append(Batch(9_000))
    bench.add(3)
    async with bench.linked():
        await emptied(bench)
    assert bench.stored() == [100, 101, 102]
    assert coordinator.acknowledged == 9_003


async def test_an_acknowledgement_of_what_was_not_sent_frees_nothing(bench, coordinator):
    async with bench.linked():
        await bench.inbox.get()
        coordinator.command(Ack(10**12))
        await coordinator.until(lambda: len(coordinator.hellos) == 2)
        bench.add(1)
        await emptied(bench)
    assert bench.stored() == [100]


@pytest.mark.parametrize("address", ["", "host", "host:", "host:http", "host:0", "host:70000"])
def test_an_address_of_another_form_is_an_error(address):
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        Fixed(address)
