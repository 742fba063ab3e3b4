"""The stateful workload: what is acknowledged is on disk; a quiesced instance lets go by itself."""

import asyncio
import json

import pytest

from wattcast_tools.room.clients import Link, record
from wattcast_tools.room.httpd import HttpServer
from wattcast_tools.room.journal import NAME, Journal
from wattcast_tools.room.workload import Application

pytestmark = pytest.mark.integration


class Instance:
    def __init__(self, folder):
        self.application = Application(folder)
        self.server = HttpServer(self.application.handle)

    async def __aenter__(self):
        port = await self.server.start()
        self.url = f"http://127.0.0.1:{port}"
        self.links = []
        self.link = self.another()
        return self

    async def __aexit__(self, *_):
        for link in self.links:
            link.close()
        await self.server.close()
        self.application.journal.close()
        await asyncio.sleep(0.01)

    def another(self):
        self.links.append(Link(self.url))
        return self.links[-1]

    async def control(self, order, **body):
        status, answer = await self.link.ask("POST", f"/control/{order}", json.dumps(body).encode())
        return status, json.loads(answer)


async def test_an_acknowledged_write_is_on_disk_and_is_read_from_there(tmp_path):
    large = bytes(range(256)) * 256
    async with Instance(tmp_path) as one:
        assert (await one.link.ask("PUT", "/records/a", large))[0] == 200
        assert (await one.link.ask("PUT", "/records/b", b""))[0] == 200
        assert await one.link.ask("GET", "/records/a") == (200, large)
        assert (await one.link.ask("GET", "/records/c"))[0] == 404
        assert (await one.link.ask("PUT", "/records/a%20b", b"x"))[0] == 400
        assert large in (tmp_path / NAME).read_bytes()
    async with Instance(tmp_path) as again:
        assert await again.link.ask("GET", "/records/a") == (200, large)
        assert json.loads((await again.link.ask("GET", "/records"))[1]) == ["a", "b"]


async def test_a_lease_that_nobody_releases_ends_by_itself_and_serves_what_it_held(tmp_path):
    async with Instance(tmp_path) as one:
        status, answer = await one.control("quiesce", lease_s=0.2)
        assert (status, answer) == (200, {"generation": 1, "records": 0})
        held = asyncio.create_task(one.another().ask("PUT", "/records/a", b"x"))
        await asyncio.sleep(0.05)
        assert not held.done()
        assert (await one.link.ask("GET", "/health"))[0] == 200
        assert (await held)[0] == 200
        assert (await one.control("release", generation=1))[0] == 409


async def test_a_released_instance_sends_everyone_elsewhere(tmp_path):
    async with Instance(tmp_path) as one:
        _, lease = await one.control("quiesce", lease_s=5)
        held = asyncio.create_task(one.another().ask("PUT", "/records/a", b"x"))
        await asyncio.sleep(0.05)
        assert (await one.control("release", generation=lease["generation"] + 1))[0] == 409
        assert (await one.control("release", generation=lease["generation"]))[0] == 200
        assert (await one.control("release", generation=lease["generation"]))[0] == 200
        assert (await held)[0] == 503
        assert (await one.link.ask("GET", "/health"))[0] == 503
        assert (await one.another().ask("GET", "/records/a"))[0] == 503
        assert len(one.application.journal) == 0


async def test_reload_takes_in_what_was_copied_meanwhile(tmp_path):
    source = Journal(tmp_path / "a")
    for number in range(5):
        source.put(f"id-{number}", record(f"id-{number}"))
    data = (tmp_path / "a" / NAME).read_bytes()
    source.close()
    async with Instance(tmp_path / "b") as target:
        copy = tmp_path / "b" / NAME
        copy.write_bytes(data[:-150])  # a copy under way ends inside a record
        assert (await target.control("reload"))[1] == {"records": 4}
        with copy.open("ab") as file:
            file.write(data[-150:])
        assert (await target.control("reload"))[1] == {"records": 5}
        assert await target.link.ask("GET", "/records/id-4") == (200, record("id-4"))


def test_a_torn_tail_is_cut_off_by_the_next_write(tmp_path):
    journal = Journal(tmp_path)
    journal.put("a", b"one")
    journal.close()
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"b 100\ntorn")
    journal = Journal(tmp_path)
    journal.put("c", b"three")
    journal.close()
    journal = Journal(tmp_path)
    assert [journal.get(i) for i in ("a", "b", "c")] == [b"one", None, b"three"]
    journal.close()
