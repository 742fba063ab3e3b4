"""Builds the agent of a rack file and runs it until SIGTERM."""

import asyncio
import ctypes
import fcntl
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from wattcast_agent import config
from wattcast_agent.devices.poller import Poller
from wattcast_agent.discover.fixed import Fixed
from wattcast_agent.forecast.roster import Roster
from wattcast_agent.infer.guard import guarded
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_agent.infer.shelf import Shelf
from wattcast_agent.run import past_file
from wattcast_agent.run.agent import Agent, Directory
from wattcast_agent.run.models import Models
from wattcast_agent.run.technician import open_spool
from wattcast_agent.run.watch import Watch, open_line, place
from wattcast_configs.files import load_rack
from wattcast_configs.profiles import load_named
from wattcast_configs.rack import Rack
from wattcast_configs.secret import read_secret
from wattcast_core.errors import ConfigError, Refused

_log = logging.getLogger("wattcast.agent")
_M_ARENA_MAX = -8  # of malloc.h


def serve(path: Path, coordinator: str = "") -> None:
    """Run the agent of a rack file until SIGTERM or SIGINT.

    Args:
        path: the rack file; relative paths in it count from its folder.
        coordinator: ``host:port``; overrides the rack file and discovery.

    Raises:
        ConfigError: rack file, profile or address wrong.
        DataError: model corrupt, spool damaged.
        Refused: another agent runs on the same state.
    """
    _share_heap()
    rack = load_rack(path)
    asyncio.run(_serve(rack, path.parent, coordinator or rack.coordinator.address))


async def _serve(rack: Rack, base: Path, coordinator: str) -> None:
    profiles = load_named((d.profile for d in rack.device), base)
    kinds = {name: p.kind for name, p in profiles.items()}
    setup = config.setup(rack, kinds, {name: repr(p.command) for name, p in profiles.items()})
    directory = Fixed(coordinator) if coordinator else _finder(rack)
    model = LiteRtModel(*config.model_files(rack.model, base))
    state_dir = base / rack.agent.state_dir
    with _alone(state_dir):
        spool = open_spool(rack, base)
        roster = Roster(guarded(model), past_file.read(state_dir))
        shelf = Shelf(state_dir / "models")
        models = Models(shelf, roster, (host.application for host in rack.server))
        clock = rack.clock.clock()
        poller = Poller(rack, profiles, lambda: clock.now(time.time()))
        watch = Watch(rack.agent.id, rack.partner, spool, lambda: poller.busy)
        agent = Agent(rack, setup, poller, spool, models, watch)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        _log.info(
            "agent %s: %d devices, %d servers, model %s on %s",
            rack.agent.id,
            len(rack.device),
            len(rack.server),
            model.id,
            model.runtime,
        )
        async with _partner(rack, watch), past_file.kept(state_dir, lambda: roster.past):
            await agent.run(directory)
        spool.close()


def _share_heap() -> None:
    """Let all threads use one heap (glibc only): gRPC's would each keep one of their own."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


@asynccontextmanager
async def _partner(rack: Rack, watch: Watch) -> AsyncIterator[None]:
    """The line to the other agent of the rack, where there is one."""
    if not rack.partner.id:
        yield
        return
    line = open_line(rack.agent.id, rack.partner, watch, read_secret)
    listen = place(rack.partner.listen, "partner.listen")
    await line.start(listen, place(rack.partner.address, "partner.address"))
    try:
        yield
    finally:
        await line.stop()


def _finder(rack: Rack) -> Directory:
    from wattcast_agent.discover.finder import Finder  # an agent with an address needs no zeroconf

    return Finder(rack.agent.cluster, rack.agent.interface)


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Two agents on one state would break fencing: hold a lock that ends with the process."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
    except OSError as error:
        raise ConfigError(f"agent.state_dir {state_dir}: {error.strerror}; check it") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"{state_dir}: another agent runs on this state; remedy: end it,"
                " or give agent.state_dir"
            ) from error
        yield
