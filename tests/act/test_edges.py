"""Reverse proxies and engines at their edges: restarts, repetitions, wrong configuration."""

import asyncio

import pytest

from wattcast_coordinator.act import choose
from wattcast_coordinator.act.engine import EngineExecutor
from wattcast_core.errors import ConfigError, Unreachable


@pytest.mark.parametrize("kind", ["envoy", "haproxy"])
def test_a_folder_too_deep_for_a_socket_is_refused_with_the_remedy(kind, tmp_path):
    folder = tmp_path / ("x" * 100)
    with pytest.raises(ConfigError, match="shorter folder"):
        choose.write_bootstrap(kind, folder, {"web": ("127.0.0.1", 1)}, {})
    with pytest.raises(ConfigError, match="107"):
        choose.redirector(kind, folder)


def test_an_unknown_proxy_is_refused():
    with pytest.raises(ConfigError, match="envoy or haproxy"):
        choose.choose("nginx")


async def test_a_server_without_engine_names_the_key_to_set():
    with pytest.raises(ConfigError, match="'engine'"):
        await EngineExecutor({"s1": ""}).start("web", "s1")


async def test_a_silent_engine_is_left_out_and_named():
    executor = EngineExecutor({"s1": "http://127.0.0.1:1"})
    assert await executor.placement() == {}
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await executor.address("web", "s1")
    await executor.aclose()


async def test_a_proxy_that_is_not_there_is_unreachable(kind, tmp_path):
    choose.write_bootstrap(kind, tmp_path, {"web": ("127.0.0.1", 1)}, {"web": "127.0.0.1:2"})
    redirector = choose.redirector(kind, tmp_path)
    with pytest.raises(Unreachable):
        await redirector.endpoints("web")
    await redirector.aclose()


@pytest.mark.integration
@pytest.mark.e2e
async def test_endpoints_come_and_go_and_each_order_may_be_repeated(place):
    redirector, first = place.redirector, await place.executor.address("web", "s1")
    second = await place.executor.start("web", "s2")
    assert await place.executor.start("web", "s2") == second
    for _ in range(2):
        await redirector.add("web", second)
    assert await redirector.endpoints("web") == {first: True, second: False}
    await redirector.wait_up("web", second)
    for _ in range(2):
        await redirector.switch("web", first, second)
    assert await redirector.endpoints("web") == {first: False, second: True}
    assert await redirector.active("web", first) == 0
    for _ in range(2):
        await redirector.remove("web", first)
    assert await redirector.endpoints("web") == {second: True}


@pytest.mark.integration
async def test_held_requests_are_in_flight_and_answered_when_the_lease_ends(place):
    address = await place.executor.address("web", "s1")
    await place.app.quiesce(address, 0.6)
    async with place.writer(clients=3) as writer:
        await asyncio.sleep(0.2)
        assert await place.redirector.active("web", address) == 3
    assert writer.failures == []


@pytest.mark.integration
async def test_a_workload_without_listener_is_named(place):
    with pytest.raises(ConfigError, match="'url'"):
        await place.redirector.add("mail", "127.0.0.1:9")


@pytest.mark.integration
@pytest.mark.e2e
async def test_a_proxy_killed_and_started_again_knows_its_endpoints(place):
    redirector, first = place.redirector, await place.executor.address("web", "s1")
    second = await place.executor.start("web", "s2")
    await redirector.add("web", second)
    await redirector.wait_up("web", second)
    await redirector.switch("web", first, second)
    place.proxy.kill()
    place.proxy.wait()
    serving = dict.fromkeys(place.ports, "127.0.0.1:9")  # what the site file would say, outdated
    listeners = {w: ("127.0.0.1", p) for w, p in place.ports.items()}
    choose.write_bootstrap(place.kind, place.folder, listeners, serving)
    place.proxy = choose.start(place.kind, place.folder)
    await redirector.wait_up("web", second)
    assert await redirector.endpoints("web") == {first: False, second: True}
