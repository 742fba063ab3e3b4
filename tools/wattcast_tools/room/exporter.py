"""Each server's node_exporter endpoint. Its counters run in data seconds, like everything here."""

from functools import partial

import numpy as np

from wattcast_tools.room import hosts
from wattcast_tools.room.httpd import HttpServer, Request, Response, answer
from wattcast_tools.room.model import World
from wattcast_tools.room.routing import FloatArray

_GIB = float(1 << 30)
_SWAP_GIB = 8.0
_USER = 0.8  # of busy CPU time
_COUNTERS = (
    "context_switches", "page_faults", "major_faults", "memory_wait_s", "net_rx_b", "net_tx_b",
    "disk_read_b", "disk_write_b", "disk_reads", "disk_writes",
)  # fmt: skip
_TEXT = """\
# TYPE node_cpu_seconds_total counter
{cpus}
# TYPE node_load1 gauge
node_load1 {load1:.2f}
# TYPE node_context_switches_total counter
node_context_switches_total {context_switches:.0f}
# TYPE node_memory_MemTotal_bytes gauge
node_memory_MemTotal_bytes {mem_total:.0f}
# TYPE node_memory_MemAvailable_bytes gauge
node_memory_MemAvailable_bytes {mem_free:.0f}
# TYPE node_memory_SwapTotal_bytes gauge
node_memory_SwapTotal_bytes {swap_total:.0f}
# TYPE node_memory_SwapFree_bytes gauge
node_memory_SwapFree_bytes {swap_free:.0f}
# TYPE node_vmstat_pgfault untyped
node_vmstat_pgfault {page_faults:.0f}
# TYPE node_vmstat_pgmajfault untyped
node_vmstat_pgmajfault {major_faults:.0f}
# TYPE node_pressure_memory_waiting_seconds_total counter
node_pressure_memory_waiting_seconds_total {memory_wait_s:.6f}
# TYPE node_network_receive_bytes_total counter
node_network_receive_bytes_total{{device="eth0"}} {net_rx_b:.0f}
# TYPE node_network_transmit_bytes_total counter
node_network_transmit_bytes_total{{device="eth0"}} {net_tx_b:.0f}
# TYPE node_disk_read_bytes_total counter
node_disk_read_bytes_total{{device="nvme0n1"}} {disk_read_b:.0f}
# TYPE node_disk_written_bytes_total counter
node_disk_written_bytes_total{{device="nvme0n1"}} {disk_write_b:.0f}
# TYPE node_disk_reads_completed_total counter
node_disk_reads_completed_total{{device="nvme0n1"}} {disk_reads:.0f}
# TYPE node_disk_writes_completed_total counter
node_disk_writes_completed_total{{device="nvme0n1"}} {disk_writes:.0f}
# TYPE node_cpu_scaling_frequency_hertz gauge
node_cpu_scaling_frequency_hertz{{cpu="0"}} {hertz:.0f}
"""


class Exporters:
    """All node_exporter endpoints; a dark server refuses connections."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rates = hosts.rates(world)
        self._last_s = world.now_s
        self._busy_s = np.zeros(len(world.layout.servers))
        self._all_s = 0.0
        self._counts: dict[str, FloatArray] = {
            name: np.zeros(len(world.layout.servers)) for name in _COUNTERS
        }
        self._servers = [
            HttpServer(partial(self._handle, i)) for i in range(len(world.layout.servers))
        ]

    async def start(self) -> dict[str, str]:
        """Open all endpoints; server -> URL."""
        for server in self._servers:
            await server.start()
        names = [s.id for s in self._world.layout.servers]
        return {
            name: f"http://127.0.0.1:{server.port}/metrics"
            for name, server in zip(names, self._servers, strict=True)
        }

    async def close(self) -> None:
        """Close all endpoints."""
        for server in self._servers:
            await server.close()

    async def update(self) -> None:
        """Count on to the world's present time; open and close what came alive or went dark."""
        dt_s = self._world.now_s - self._last_s
        self._last_s = self._world.now_s
        self._rates = hosts.rates(self._world)
        self._busy_s += dt_s * self._rates["cpu"]
        self._all_s += dt_s
        for name in _COUNTERS:
            self._counts[name] += dt_s * self._rates[name]
        for server, powered in zip(self._servers, self._world.powered, strict=True):
            if server.listening and not powered:
                await server.close()
            elif powered and not server.listening and server.port:
                await server.start(server.port)

    def text(self, index: int) -> str:
        """The metrics of one server."""
        now = {k: float(v[index]) for k, v in self._rates.items()}
        total_b = self._world.layout.servers[index].platform.mem_gib * _GIB
        return _TEXT.format(
            cpus=self._cpus(index),
            load1=now["load1"],
            mem_total=total_b,
            mem_free=total_b * (1.0 - now["memory_used"]),
            swap_total=_SWAP_GIB * _GIB,
            swap_free=_SWAP_GIB * _GIB * (1.0 - now["swap_used"]),
            hertz=1e6 * now["frequency_mhz"],
            **{name: float(count[index]) for name, count in self._counts.items()},
        )

    def _cpus(self, index: int) -> str:
        """All cores' time as one series a mode: sums are what readers take of them."""
        busy_s = hosts.CORES * float(self._busy_s[index])
        idle_s = hosts.CORES * self._all_s - busy_s
        modes = (("user", _USER * busy_s), ("system", (1.0 - _USER) * busy_s), ("idle", idle_s))
        return "\n".join(
            f'node_cpu_seconds_total{{cpu="0",mode="{mode}"}} {seconds:.2f}'
            for mode, seconds in modes
        )

    async def _handle(self, index: int, request: Request) -> Response:
        if request.path != "/metrics":
            return answer({"error": "know only /metrics"}, 404)
        return Response(body=self.text(index).encode(), type="text/plain; version=0.0.4")
