"""What one agent takes: memory, its growth, processor time, and how late its readings are.

A real agent process reads 2 PDUs of 42 outlets, 1 transfer switch with a meter on each input and
2 sensors over Modbus TCP every second, and 40 node_exporter endpoints of 60 kB and more (filtered
by collect[]) every 10 seconds; it forecasts every 10 seconds, spools, and sends to a real gRPC
server. The data clock runs at 30, so that a model step is 10 seconds; before, while it is not
measured, at 600, so that windows and records are as full as after many hours. Devices and server
run in this process and the endpoints in another; neither is measured.

rss_mb is the highest after the warm-up, rss_slope_mb_per_h a straight line through the second half,
lateness runs from the beat to the decoded reading, over windows of 3,000 (of several the worst
p99), reads_per_s counts values.
collectd reads the PDUs' power and current beside it where it is installed, else null.

examples: wattcast bench agent --json
          wattcast bench agent --soak 8 --json
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_tools.agent_rig.devices import Devices
    from wattcast_tools.agent_rig.ear import Ear, Heard

_SERVERS = 40
_SPEED, _WARM_UP_SPEED = 30.0, 600.0
_STEP_S = 300.0
_START_REAL_S, _WARM_UP_REAL_S = 5.0, 45.0
_TELL_EVERY_S = 30.0
_GOALS = (("rss_mb", 100.0), ("cpu_pct", 10.0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench agent``."""
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--duration", type=float, default=300.0, help="seconds (default 300)")
    length.add_argument("--soak", type=float, default=0.0, metavar="HOURS", help="run for hours")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Run the agent and measure it; 1 if it ended or made no forecast."""
    duration_s = 3600.0 * args.soak or args.duration
    with tempfile.TemporaryDirectory(prefix="wattcast-bench-") as folder:
        facts = asyncio.run(_measure(Path(folder), duration_s))
    print(json.dumps(facts) if args.json else _table(facts))
    return 0 if facts["forecasts"] else 1


@dataclass
class Watched:
    """Memory and processor time of a process, once a second after the warm-up."""

    pid: int
    rss_mb: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Take one sample."""
        import psutil

        process = psutil.Process(self.pid)
        with process.oneshot():
            times = process.cpu_times()
            self.rss_mb.append(process.memory_info().rss / 1e6)
        self.cpu_s.append(times.user + times.system)
        self.at_s.append(time.monotonic())

    @property
    def cpu_pct(self) -> float:
        """Share of one core."""
        return 100 * (self.cpu_s[-1] - self.cpu_s[0]) / max(1e-9, self.at_s[-1] - self.at_s[0])

    @property
    def slope_mb_per_h(self) -> float:
        """Growth of the memory over the second half."""
        import numpy as np

        half = len(self.at_s) // 2
        if len(self.at_s) - half < 2:
            return 0.0
        return float(3600 * np.polyfit(self.at_s[half:], self.rss_mb[half:], 1)[0])


async def _measure(folder: Path, duration_s: float) -> dict[str, Any]:
    from wattcast_tools.agent_rig import collectd
    from wattcast_tools.agent_rig.devices import Devices
    from wattcast_tools.agent_rig.ear import Ear

    ear, devices = Ear(), Devices(_cords())
    async with AsyncExitStack() as stack:
        address = await ear.start()
        stack.push_async_callback(ear.stop)
        await devices.start()
        stack.push_async_callback(devices.stop)
        rack = _write(folder, devices, await _exporters(stack))
        rival = await collectd.start(folder / "collectd", devices)
        log = stack.enter_context((folder / "agent.log").open("wb"))
        words = ("-m", "wattcast_tools.main", "agent", str(rack), "--coordinator", address)
        agent = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=log)
        processes = [process for process in (agent, rival) if process is not None]
        for process in processes:
            stack.push_async_callback(_end, process)
        watched = await _watch(processes, duration_s, ear, folder)
    return _facts(watched, [h for h in ear.heard if h.at_s >= watched[0].at_s[0]])


async def _exporters(stack: AsyncExitStack) -> dict[str, str]:
    """Endpoints in a process of their own; server -> address."""
    pipe = asyncio.subprocess.PIPE
    words = ("-m", "wattcast_tools.agent_rig.exporters", str(_SERVERS))
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
    stack.push_async_callback(_end, child)
    told = await child.stdout.readline() if child.stdout is not None else b"{}"
    urls: dict[str, str] = json.loads(told)
    return urls


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def _watch(
    processes: list[asyncio.subprocess.Process], duration_s: float, ear: "Ear", folder: Path
) -> list[Watched]:
    from wattcast_core.errors import WattcastError

    watched = [Watched(process.pid) for process in processes]
    began_s = time.monotonic()
    warm_s = began_s + _START_REAL_S + _WARM_UP_REAL_S + _STEP_S / _SPEED
    told_s = began_s
    while (now_s := time.monotonic()) < warm_s + duration_s:
        await asyncio.sleep(1.0)
        if processes[0].returncode is not None:
            last = (folder / "agent.log").read_text().strip().splitlines()[-3:]
            raise WattcastError(f"the agent ended: {' / '.join(last)}")
        if now_s >= warm_s:
            for one in watched:
                one.look()
        if now_s >= told_s + _TELL_EVERY_S:
            told_s = now_s
            (rss_mb,) = watched[0].rss_mb[-1:] or [0.0]
            text = f"{now_s - began_s:.0f} s: {rss_mb:.1f} MB, {ear.forecasts} forecasts"
            print(text, file=sys.stderr)
    return watched


def _facts(watched: list[Watched], heard: "list[Heard]") -> dict[str, Any]:
    from wattcast_tools.agent_rig.devices import OUTLETS

    agent = watched[0]
    duration_s = agent.at_s[-1] - agent.at_s[0]
    return {
        "rss_mb": round(max(agent.rss_mb), 1),
        "rss_slope_mb_per_h": round(agent.slope_mb_per_h, 2),
        "cpu_pct": round(agent.cpu_pct, 2),
        "lateness_ms": _lateness_ms(heard),
        "reads_per_s": round(_risen(heard, "values_total") / duration_s, 1),
        "forecasts": heard[-1].forecasts - heard[0].forecasts,
        "servers": _SERVERS,
        "outlets": 2 * OUTLETS,
        "duration_s": round(duration_s, 1),
        "collectd": _rival(watched[1]) if len(watched) > 1 else None,
    }


def _lateness_ms(heard: "list[Heard]") -> dict[str, float]:
    """The last window; of a long run the worst of all."""
    from wattcast_agent.devices.lateness import WINDOW

    full = [h for h in heard if _risen([heard[0], h], "reads_total") >= WINDOW]
    windows = [h.health for h in full or heard[-1:]]
    p99 = max(health["lateness_p99_ms"] for health in windows)
    return {"p50": windows[-1]["lateness_p50_ms"], "p99": p99}


def _risen(heard: "list[Heard]", counter: str) -> float:
    return heard[-1].health[counter] - heard[0].health[counter]


def _rival(watched: Watched) -> dict[str, float]:
    return {"rss_mb": round(max(watched.rss_mb), 1), "cpu_pct": round(watched.cpu_pct, 2)}


def _cords() -> dict[str, dict[str, str]]:
    """Each server hangs on both PDUs; the last two outlets of each stay free."""
    return {
        f"pdu-{side}": {f"outlet.{n + 1}": f"server-{n:02}/{cord}" for n in range(_SERVERS)}
        for cord, side in enumerate("ab")
    }


def _write(folder: Path, devices: "Devices", urls: dict[str, str]) -> Path:
    from wattcast_tools.agent_rig.devices import PDU_PROFILE, pdu_profile

    now = time.time()
    begin_s = now // _STEP_S * _STEP_S
    later = now + _START_REAL_S + _WARM_UP_REAL_S
    segments = [
        [now, begin_s, _WARM_UP_SPEED],
        [later, begin_s + (later - now) * _WARM_UP_SPEED, _SPEED],
    ]
    servers = [
        f'[[server]]\nid = "{name}"\ncords = 2\nnode_exporter = "{url}"\n'
        for name, url in urls.items()
    ]
    head = (
        '[agent]\nid = "agent-bench"\nrack = "bench"\nstate_dir = "state"\n'
        f"step_s = {_STEP_S}\npoll_real_s = 1.0\nscrape_real_s = 10.0\n"
    )
    clock = f"[clock]\nsegments = {segments}\n"
    (folder / PDU_PROFILE).write_text(pdu_profile())
    path = folder / "rack.toml"
    path.write_text("\n".join([head, devices.toml(), *servers, clock]))
    return path


def _table(facts: dict[str, Any]) -> str:
    lines = [f"{key:20} {value}" for key, value in facts.items()]
    missed = [f"{key} {facts[key]} (goal {most:g})" for key, most in _GOALS if facts[key] > most]
    return "\n".join([*lines, f"missed: {', '.join(missed)}" if missed else "goals met"])
