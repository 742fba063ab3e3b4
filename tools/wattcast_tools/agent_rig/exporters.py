"""node_exporter endpoints: the text of a 32-core server, filtered by ``collect[]``.

As a program, ``python -m wattcast_tools.agent_rig.exporters COUNT`` serves them until its input
ends, and first prints their addresses as JSON: servers answer beside each other, not one by one.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from urllib.parse import parse_qs, urlsplit

_CORES, _DISKS, _CARDS = 32, 8, 6
_MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
_DISK = (
    *("reads_completed_total", "reads_merged_total", "read_bytes_total", "read_time_seconds_total"),
    *("writes_completed_total", "writes_merged_total", "written_bytes_total", "io_now"),
    *("write_time_seconds_total", "io_time_seconds_total", "io_time_weighted_seconds_total"),
    *("discards_completed_total", "discarded_sectors_total", "flush_requests_total"),
)
_CARD = tuple(
    f"{way}_{what}_total"
    for way in ("receive", "transmit")
    for what in ("bytes", "packets", "errs", "drop", "fifo", "compressed", "frame", "multicast")
)
_MEMORY = (
    *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active"),
    *("Inactive", "Active_anon", "Inactive_anon", "Active_file", "Inactive_file", "Unevictable"),
    *("Mlocked", "SwapTotal", "SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem"),
    *("KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "KernelStack", "PageTables"),
    *("CommitLimit", "Committed_AS", "VmallocTotal", "VmallocUsed", "Percpu", "AnonHugePages"),
)
_VOLUMES = 50  # of a collector that nobody here asks for
_FILES = ("avail_bytes", "device_error", "files", "files_free", "free_bytes", "readonly")
_MISSING = b"Couldn't create filtered metrics handler: missing collector: "
_MOUNT = 'device="/dev/nvme{0}n1",fstype="ext4",mountpoint="/srv/{0}"'


Series = Mapping[str, float]


def _cpu(number: int, at_s: float) -> Series:
    return {
        f'cpu="{core}",mode="{mode}"': 0.3 * at_s + number if mode == "user" else at_s / (place + 2)
        for core in range(_CORES)
        for place, mode in enumerate(_MODES)
    }


def _each(label: str, count: int, value: float) -> Series:
    return {label.format(n): value + n for n in range(count)}


_PARTS: dict[str, Callable[[int, float], str]] = {
    "cpu": lambda number, at_s: _family("node_cpu_seconds_total", _cpu(number, at_s)),
    "cpufreq": lambda _, __: _family(
        "node_cpu_scaling_frequency_hertz", _each('cpu="{}"', _CORES, 2.4e9)
    ),
    "stat": lambda _, at_s: _family("node_context_switches_total", {"": 9000 * at_s}),
    "loadavg": lambda _, __: "".join(_family(f"node_load{m}", {"": 4.2}) for m in (1, 5, 15)),
    "meminfo": lambda _, __: "".join(
        _family(f"node_memory_{name}_bytes", {"": 1e9 * (60 - place)})
        for place, name in enumerate(_MEMORY)
    ),
    "vmstat": lambda _, at_s: (
        _family("node_vmstat_pgfault", {"": 4000 * at_s})
        + _family("node_vmstat_pgmajfault", {"": 0.5 * at_s})
    ),
    "pressure": lambda _, at_s: _family(
        "node_pressure_memory_waiting_seconds_total", {"": 0.01 * at_s}
    ),
    "netdev": lambda _, at_s: "".join(
        _family(f"node_network_{name}", _each('device="eth{}"', _CARDS, 1e5 * at_s))
        for name in _CARD
    ),
    "diskstats": lambda _, at_s: "".join(
        _family(f"node_disk_{name}", _each('device="nvme{}n1"', _DISKS, 2e5 * at_s))
        for name in _DISK
    ),
    "filesystem": lambda _, __: "".join(
        _family(f"node_filesystem_{what}", _each(_MOUNT, _VOLUMES, 1e12)) for what in _FILES
    ),
}
COLLECTORS = tuple(_PARTS)


def part(collector: str, number: int, at_s: float) -> str:
    """What one collector of one server tells."""
    return _PARTS[collector](number, at_s)


def _family(name: str, series: Series) -> str:
    head = f"# HELP {name} {name.replace('_', ' ')}.\n# TYPE {name} untyped\n"
    return head + "".join(
        f"{name}{{{labels}}} {value:.9g}\n" if labels else f"{name} {value:.9g}\n"
        for labels, value in series.items()
    )


def _page(collectors: Iterable[str], number: int) -> bytes:
    at_s = time.monotonic()
    return "".join(part(name, number, at_s) for name in collectors).encode()


class Exporters:
    """``count`` endpoints on loopback.

    Attributes:
        page_bytes: size of a whole page.
        urls: server -> address.
    """

    def __init__(self, count: int) -> None:
        self.page_bytes = sum(len(part(name, 0, time.monotonic())) for name in COLLECTORS)
        self.urls: dict[str, str] = {}
        self._count = count
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen on free ports."""
        for number in range(self._count):
            serve = partial(self._serve, number)
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.urls[f"server-{number:02}"] = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Close all ports."""
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                query = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
                wanted = query.get("collect[]") or COLLECTORS
                strange = next((name for name in wanted if name not in COLLECTORS), "")
                body = _page(wanted, number) if not strange else _MISSING + strange.encode()
                writer.write(f"HTTP/1.1 {'400 Bad Request' if strange else '200 OK'}\r\n".encode())
                writer.write(b"Content-Type: text/plain; version=0.0.4\r\n")
                writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()


async def _main(count: int) -> None:
    exporters = Exporters(count)
    await exporters.start()
    print(json.dumps(exporters.urls), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await exporters.stop()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
