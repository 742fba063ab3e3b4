import asyncio

import pytest

from wattcast_coordinator.coord.election import Deposed, Elector
from wattcast_coordinator.coord.etcd import Etcd

pytestmark = pytest.mark.integration


class Term:
    """Leads until told to stop, and remembers its terms."""

    def __init__(self):
        self.terms = asyncio.Queue()
        self.stop = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, leadership):
        self.terms.put_nowait(leadership)
        try:
            await self.stop.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def _within(awaitable, real_s=8):
    return await asyncio.wait_for(awaitable, real_s)


async def _until(condition):
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


@pytest.fixture
async def pair(server):
    clients = [Etcd([server.endpoint]) for _ in "ab"]
    electors = [Elector(c, "room", name, ttl_s=1) for c, name in zip(clients, "ab", strict=True)]
    terms, tasks = (Term(), Term()), []
    try:
        for elector, term in zip(electors, terms, strict=True):
            tasks.append(asyncio.create_task(elector.run(term)))
            await asyncio.sleep(0.2)
        yield electors, terms, tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.close()


async def test_one_leads_at_a_time_and_a_resignation_hands_over_at_once(pair, etcd):
    (a, b), terms, tasks = pair
    first = await _within(terms[0].terms.get())
    assert (a.token, b.token) == (first.token, 0)
    assert terms[1].terms.empty()
    tasks[0].cancel()
    second = await _within(terms[1].terms.get(), 0.9)
    assert second.token > first.token
    assert await b.leader() == ("b", second.token)
    with pytest.raises(Deposed, match="another coordinator leads"):
        await first.put({"/wattcast/x": "late"})
    assert await etcd.get("/wattcast/x") is None


async def test_a_lost_lease_deposes_the_leader_and_the_next_has_a_higher_token(pair, etcd):
    (a, _), terms, _ = pair
    first = await _within(terms[0].terms.get())
    await first.put({"/wattcast/x": "1", "/wattcast/y": "1"})
    await etcd.revoke(first.lease)
    second = await _within(terms[1].terms.get())
    assert second.token > first.token
    await second.put({"/wattcast/x": "2"})
    with pytest.raises(Deposed):
        await first.put({"/wattcast/x": "3"})
    assert (await etcd.get("/wattcast/x")).value == "2"
    await _within(_until(lambda: terms[0].cancelled))
    assert a.token == 0


async def test_a_term_ends_when_etcd_falls_silent_and_leading_returns_when_it_is_back(pair, server):
    (a, _), terms, _ = pair
    await _within(terms[0].terms.get())
    server.process.send_signal(19)  # SIGSTOP
    await _within(_until(lambda: terms[0].cancelled and not a.token))
    server.process.send_signal(18)  # SIGCONT
    done, rest = await asyncio.wait(
        [asyncio.create_task(t.terms.get()) for t in terms],
        timeout=8,
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert done
    for task in rest:
        task.cancel()


async def test_waiting_for_a_key_ends_at_once_without_it_and_else_with_its_deletion(etcd):
    await _within(etcd.wait_gone("/wattcast/absent"), 2)
    await etcd.put("/wattcast/x", "1")
    waiting = asyncio.create_task(etcd.wait_gone("/wattcast/x"))
    await asyncio.sleep(0.1)
    await etcd.put("/wattcast/x", "2")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await etcd.delete("/wattcast/x")
    await _within(waiting, 2)


async def test_what_lead_raises_ends_the_campaign_and_its_own_end_too(etcd):
    async def broken(_):
        raise ValueError("broken")

    async def short(_):
        return

    elector = Elector(etcd, "room", "a", ttl_s=1)
    with pytest.raises(ValueError, match="broken"):
        await _within(elector.run(broken))
    await _within(elector.run(short))
    assert await elector.leader() == ("", 0)
