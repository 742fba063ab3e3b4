import asyncio
import gc

import pytest

from wattcast_agent.discover.finder import Finder
from wattcast_coordinator.coord.announce import Announcer
from wattcast_core.discovery import Advert, pack, unpack
from wattcast_core.errors import ConfigError, DataError, Unreachable


def test_a_record_is_read_as_it_was_written():
    advert = Advert("lab", 1, 77)
    assert unpack({k.encode(): v.encode() for k, v in pack(advert).items()}) == advert


@pytest.mark.parametrize("record", [{}, {b"cluster": b"x"}, {b"cluster": b"x", b"version": None}])
def test_another_service_is_not_taken_for_a_coordinator(record):
    with pytest.raises(DataError, match="not a Wattcast coordinator"):
        unpack(record)


async def found(finder, port):
    deadline = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < deadline:
        if await finder.address() == f"127.0.0.1:{port}":
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.integration
@pytest.mark.slow
async def test_an_agent_finds_the_leader_of_its_cluster_and_loses_it_when_it_goes():
    finder = Finder("demo", "127.0.0.1")
    others = [Announcer() for _ in range(2)]
    leader = Announcer()
    await finder.start()
    await asyncio.gather(
        others[0].start("127.0.0.1", 7001, "other", "127.0.0.1", 99),
        others[1].start("127.0.0.1", 7002, "demo", "127.0.0.1"),
        leader.start("127.0.0.1", 7003, "demo", "127.0.0.1", 12),
    )
    assert await found(finder, 7003)
    finder.failed("127.0.0.1:7003")
    assert await found(finder, 7002)
    await others[1].stop()
    assert await found(finder, 7003)
    for announcer in (*others, leader):
        await announcer.stop()
    await finder.stop()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # zeroconf's socket
async def test_an_interface_that_does_not_exist_names_the_remedy():
    with pytest.raises(Unreachable, match="remedy"):
        await Finder("demo", "192.0.2.77").start()
    with pytest.raises(Unreachable, match="remedy"):
        await Announcer().start("127.0.0.1", 1, "demo", "192.0.2.77")
    gc.collect()


async def test_a_host_name_cannot_be_announced():
    with pytest.raises(ConfigError, match="needs an IP address"):
        await Announcer().start("localhost", 1, "demo", "127.0.0.1")
