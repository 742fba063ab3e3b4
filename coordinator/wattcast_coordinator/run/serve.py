"""Builds the coordinator and runs it until SIGTERM."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from wattcast_configs.control import Control, Listen
from wattcast_configs.files import load_site
from wattcast_configs.site import Site
from wattcast_coordinator.act.choose import redirector
from wattcast_coordinator.act.engine import EngineExecutor
from wattcast_coordinator.act.migration import Migrator
from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.api.peer_files import fetch
from wattcast_coordinator.api.rest import create_app
from wattcast_coordinator.api.server import WebServer
from wattcast_coordinator.coord.announce import Announcer
from wattcast_coordinator.coord.election import Elector
from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.coord.peers import Peers
from wattcast_coordinator.coord.server import EtcdServer
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.run.agents import Handler
from wattcast_coordinator.run.board import Board
from wattcast_coordinator.run.leader import Leader
from wattcast_coordinator.run.models import ModelDesk
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.prices import Prices
from wattcast_coordinator.run.replicas import Replicas
from wattcast_coordinator.run.view import LiveView
from wattcast_coordinator.store.database import SqlStore
from wattcast_coordinator.store.open import engine_of
from wattcast_coordinator.store.queue import AsyncStore, Days
from wattcast_coordinator.topology import graph
from wattcast_core.errors import ConfigError, StoreUnavailable, Unreachable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Running:
    elector: Elector
    leader: Leader
    announce: Callable[[], Coroutine[None, None, bool]]
    copy_models: Callable[[], Coroutine[None, None, None]]
    endpoints: dict[str, str]


async def serve(control: Control, folder: Path, ready: Path | None = None) -> None:
    """Run a coordinator; relative paths of its file are relative to ``folder``.

    Args:
        control: the coordinator's configuration.
        folder: where it was read from.
        ready: file that is written with the bound endpoints (JSON) when all is up.

    Raises:
        ConfigError: wrong site, port taken, etcd missing; the text names the remedy.
    """
    if ready is not None:
        ready.unlink(missing_ok=True)  # noqa: ASYNC240 - of an earlier run: it names dead ports
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _running(control, folder, stop) as running:
        if ready is not None:
            _write(ready, running.endpoints)
        await _until(stop, running)


async def _until(stop: asyncio.Event, running: _Running) -> None:
    """Campaign, lead and be found until ``stop``; an error of any ends the coordinator."""
    campaign = running.elector.run(running.leader.lead)
    beside = (running.announce(), running.copy_models(), stop.wait())
    tasks = [asyncio.create_task(work) for work in (campaign, *beside)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@asynccontextmanager
async def _running(control: Control, folder: Path, stop: asyncio.Event) -> AsyncIterator[_Running]:
    site = load_site(folder / control.site)
    state_dir = folder / control.state_dir
    async with AsyncExitStack() as stack:
        endpoints = list(control.etcd.endpoints)
        if not endpoints:
            etcd_server = await EtcdServer.start(state_dir / "etcd")
            stack.push_async_callback(etcd_server.stop)
            endpoints = [etcd_server.endpoint]
        etcd = Etcd(endpoints)
        stack.push_async_callback(etcd.close)
        try:
            await etcd.get("/wattcast/ready")
        except Unreachable as error:
            _log.warning("%s; waiting for it", error)
        elector = Elector(etcd, site.name, control.id, control.etcd.ttl_s)
        parts = await _parts(control, site, folder, elector, stack)
        view = LiveView(parts)
        files = ModelFiles(state_dir / "models")
        desk = ModelDesk(files, parts.agents, parts.now, parts.tell, parts.store.write_audit)
        leader = Leader(parts, graph.build(site), view, desk)
        parts.handler.joined, parts.handler.tell = leader.joined, parts.tell
        parts.handler.audit, parts.handler.reported = parts.audit, desk.reported
        bound = await _listen(parts, create_app(view, stop, desk), stack)
        stack.callback(stop.set)
        announcer = Announcer()
        stack.push_async_callback(announcer.stop)
        announce = partial(_announce, announcer, control.listen, bound["grpc"])
        peers = Peers(etcd, control.id, bound["grpc"])
        replicas = Replicas(etcd, peers.others, files, fetch)
        bound["etcd"] = ",".join(endpoints)
        yield _Running(elector, leader, announce, replicas.run, bound)


async def _parts(
    control: Control,
    site: Site,
    folder: Path,
    elector: Elector,
    stack: AsyncExitStack,
) -> Parts:
    control.grid.check_site(tuple(f.id for f in site.feed), tuple(w.id for w in site.workload))
    prices = Prices(control.grid, folder, folder / control.state_dir)
    clock, board = control.clock.clock(), Board()
    store = _store(control, folder)
    stack.push_async_callback(store.close)
    ahead_s = control.decision.step_s
    handler = Handler(store, board, clock, site, lambda: elector.token, ahead_s)
    executor = EngineExecutor.of_site(site)
    stack.push_async_callback(executor.aclose)
    proxy = redirector(control.redirector.kind, folder / control.redirector.dir)
    stack.push_async_callback(proxy.aclose)
    migrator = Migrator(executor, proxy)
    stack.push_async_callback(migrator.aclose)
    agents = AgentServer(handler, ModelFiles(folder / control.state_dir / "models"))
    return Parts(
        control, site, clock, board, store, agents, handler, executor, migrator, prices, folder
    )


def _store(control: Control, folder: Path) -> AsyncStore:
    store = SqlStore(engine_of(control, folder))
    try:
        store.engine  # noqa: B018 - looks at the schema now: a wrong one is told at the start
    except StoreUnavailable as error:
        _log.warning("%s; it is asked again with every batch", error)
    return AsyncStore(store, Days(control.store.raw_days, control.store.rollup_days))


async def _listen(parts: Parts, app: FastAPI, stack: AsyncExitStack) -> dict[str, str]:
    """Open the ports; returns what was bound."""
    listen = parts.control.listen
    grpc_host, _ = _split(listen.grpc, "listen.grpc")
    rest_host, rest_port = _split(listen.rest, "listen.rest")
    grpc_port = await parts.agents.start(listen.grpc)
    stack.push_async_callback(parts.agents.stop)
    web = WebServer(app)
    bound_rest = await web.start(rest_host, rest_port)
    stack.push_async_callback(web.stop)
    rest = f"http://{rest_host}:{bound_rest}"
    return {"grpc": f"{grpc_host}:{grpc_port}", "rest": f"{rest}/api/v1", "dashboard": f"{rest}/"}


async def _announce(announcer: Announcer, listen: Listen, grpc: str) -> bool:
    """Be found until cancelled; beside leading, since zeroconf takes seconds to claim a name."""
    host, port = _split(grpc, "listen.grpc")
    await announcer.start(host, port, listen.cluster, listen.interface)
    return await asyncio.Event().wait()


def _split(address: str, key: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{key}: '{address}' is not host:port; give e.g. 127.0.0.1:7443")
    return host, int(port)


def _write(path: Path, endpoints: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps({**endpoints, "pid": os.getpid()}))
    part.replace(path)
