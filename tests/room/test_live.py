"""The room as others see it: Modbus TCP, node_exporter, the workload engine, real processes."""

import asyncio
import contextlib
import json
import re
import signal
import struct
import sys
import time
from pathlib import Path

import httpx
import pytest
from pymodbus.client import AsyncModbusTcpClient

from wattcast_tools.room.exporter import Exporters

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Started:
    """A running room."""

    def __init__(self, folder):
        self.folder = folder

    async def start(self, *words):
        # The history lies in the past already: the story begins at once.
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wattcast_tools.room", "--dir", str(self.folder),
            "--start-real", str(time.time() - 64), *words,
        )  # fmt: skip
        for _ in range(400):
            if (self.folder / "room.json").exists():
                break
            assert self.process.returncode is None
            await asyncio.sleep(0.05)
        self.about = json.loads((self.folder / "room.json").read_text())

    async def stop(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), 15)


@contextlib.asynccontextmanager
async def room(folder, *words):
    started = Started(folder)
    await started.start(*words)
    try:
        yield started
    finally:
        await started.stop()


def by_id(rows):
    return {row["id"]: row for row in rows}


def as_float(words):
    return struct.unpack(">f", struct.pack(">2H", *words))[0]


async def read(place, function, address, count):
    client = AsyncModbusTcpClient(place["host"], port=place["port"])
    await client.connect()
    try:
        ask = client.read_holding_registers if function == 3 else client.read_input_registers
        answer = await ask(address, count=count, device_id=place["unit"])
        return None if answer.isError() else answer.registers
    finally:
        client.close()


async def power_w(place, function, address):
    """Power of a meter; silent or NaN moments (about 0.5 %) are waited out."""
    for _ in range(40):
        words = await read(place, function, address, 2)
        if words and not struct.pack(">2H", *words).startswith(b"\x7f\xc0"):
            return as_float(words)
        await asyncio.sleep(0.2)
    raise AssertionError(f"no reading from {place}")


async def write(place, address, value):
    client = AsyncModbusTcpClient(place["host"], port=place["port"])
    await client.connect()
    try:
        return (await client.write_register(address, value, device_id=place["unit"])).isError()
    finally:
        client.close()


def counters(text):
    pairs = re.findall(r"^(node_\S*(?:total|pgfault)\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in pairs}


async def test_devices_hosts_and_switches_answer_and_follow_the_physics(tmp_path):
    words = ("--speed", "5", "--steady", "--control", "none")
    async with room(tmp_path, *words) as run, httpx.AsyncClient() as http:
        servers, ats = by_id(run.about["servers"]), by_id(run.about["ats"])["ats-r1"]
        pdu = by_id(run.about["pdus"])["pdu-r1-a"]
        cords = [c for s in servers.values() for c in s["cords"] if c["pdu"] == pdu["id"]]
        parts_w = [await power_w(c, 4, 0x34) for c in cords]
        source_w = await power_w(ats["source_meters"]["A"], 4, 0x0C)
        inlet_w = await power_w(pdu, 3, 0x3012)
        assert sum(parts_w) + source_w == pytest.approx(inlet_w, rel=0.05)
        behind = [c for s in servers.values() for c in s["cords"] if c["ats"] == "ats-r1"]
        assert sum([await power_w(c, 4, 0x34) for c in behind]) == pytest.approx(source_w, rel=0.05)
        assert 220 < as_float(await read(pdu, 3, 0x3008, 2)) < 240
        sensor = await read(run.about["sensors"][0], 4, 1, 2)
        assert 180 < sensor[0] < 350

        assert await read(ats, 3, 0x2001, 2) == [1, 1]
        assert await write(ats, 0x2002, 3)  # there is no third inlet
        assert await write(ats, 0x2001, 2)  # the active inlet is not a setting
        assert not await write(ats, 0x2002, 2)
        assert await read(ats, 3, 0x2001, 2) == [1, 2]
        await asyncio.sleep(2.0)
        assert await read(ats, 3, 0x2001, 2) == [2, 2]
        assert await power_w(ats["source_meters"]["A"], 4, 0x34) == 0
        assert await power_w(pdu, 3, 0x3012) == pytest.approx(inlet_w - source_w, rel=0.05)

        url = servers["r1-s01"]["node_exporter"]
        before = counters((await http.get(url)).text)
        await asyncio.sleep(1.5)
        after = counters((await http.get(url)).text)
        assert len(before) >= 12
        assert all(after[name] >= before[name] for name in before)
        cpu_s = sum(after[n] - before[n] for n in before if n.startswith("node_cpu_seconds"))
        assert cpu_s == pytest.approx(16 * 1.5 * 5, rel=0.6)  # data seconds, 16 cores
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["transfers"] == 1
    assert truth["tripped"] == []


async def test_a_workload_moves_with_its_data_and_its_users_lose_nothing(tmp_path):
    async with room(tmp_path, "--speed", "5") as run, httpx.AsyncClient(timeout=20) as http:
        servers, workloads = by_id(run.about["servers"]), by_id(run.about["workloads"])
        source, target = servers["r1-s01"]["engine"], servers["r2-s05"]["engine"]
        name, report = "shop-r1-1", tmp_path / "users.json"
        targets = {n: workloads[n]["url"] for n in (name, "mail-r2-1")}
        (tmp_path / "targets.json").write_text(json.dumps(targets))
        users = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wattcast_tools.room.clients",
            "--targets", str(tmp_path / "targets.json"), "--report", str(report), "--for", "2",
        )  # fmt: skip
        assert await users.wait() == 0
        for counts in json.loads(report.read_text()).values():
            assert counts["requests"] > 10
            assert counts["acknowledged_writes"] > 0
            assert counts["failed_requests"] == counts["lost_writes"] == 0

        ids = (await http.get(f"{targets[name]}/records")).json()
        first = (await http.post(f"{target}/workloads/{name}/pull", json={"from": source})).json()
        again = (await http.post(f"{target}/workloads/{name}/pull", json={"from": source})).json()
        assert first["bytes"] > 0
        assert again == {"files": 1, "bytes": 0}
        started = (await http.post(f"{target}/workloads/{name}/start")).json()
        assert (await http.post(f"{target}/workloads/{name}/start")).json() == started
        assert (await http.get(f"{started['url']}/records")).json() == ids
        assert (await http.delete(f"{target}/workloads/{name}")).status_code == 409
        for _ in range(2):
            assert (await http.post(f"{source}/workloads/{name}/stop")).status_code == 200
        listed = (await http.get(f"{source}/workloads")).json()["workloads"]
        assert [w["state"] for w in listed if w["name"] == name] == ["stopped"]
        assert (await http.delete(f"{source}/workloads/{name}")).status_code == 200
        assert (await http.post(f"{target}/workloads/nobody/start")).status_code == 404
        children = children_of(run.process.pid)
        assert len(children) == 12
    assert not [pid for pid in children if alive(pid)]
    assert json.loads((tmp_path / "truth.json").read_text())["moves"] == 1


async def test_dark_servers_lose_their_processes_and_a_killed_room_takes_all_along(tmp_path):
    words = ("--speed", "60", "--lose-feed", "A@1", "--lose-feed", "B@1")
    async with room(tmp_path, *words) as run, httpx.AsyncClient() as http:
        servers, workloads = by_id(run.about["servers"]), by_id(run.about["workloads"])
        await asyncio.sleep(2.5)
        assert as_float(await read(by_id(run.about["pdus"])["pdu-r1-a"], 3, 0x3008, 2)) == 0
        assert await read(by_id(run.about["ats"])["ats-r1"], 3, 0x2001, 2) == [0, 1]
        for url in (servers["r1-s05"]["node_exporter"], workloads["shop-r1-2"]["url"] + "/health"):
            with pytest.raises(httpx.TransportError):
                await http.get(url)
        assert (await http.get(servers["r1-s01"]["engine"] + "/workloads")).status_code == 503
        assert (await http.get(servers["r2-s05"]["node_exporter"])).status_code == 200
        children = children_of(run.process.pid)
        assert len(children) == 8  # those of r1 are dead
        run.process.kill()
        await run.process.wait()
        await asyncio.sleep(0.3)
        assert not [pid for pid in children if alive(pid)]


async def test_an_exporter_comes_back_with_its_server(world):
    exporters = Exporters(world)
    urls = await exporters.start()
    async with httpx.AsyncClient() as http:
        for feed in "AB":
            world.set_feed(feed, up=False)
        await exporters.update()
        with pytest.raises(httpx.TransportError):
            await http.get(urls["r1-s01"])
        world.set_feed("B", up=True)
        await exporters.update()
        assert (await http.get(urls["r1-s01"])).status_code == 200
    await exporters.close()
    await asyncio.sleep(0.01)


def children_of(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()]


def alive(pid):
    """Whether a process runs; a zombie that waits for its reaper does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
