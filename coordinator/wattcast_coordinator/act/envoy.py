"""Redirector over Envoy: endpoint files renamed into place, confirmed through its admin socket.

It keeps no state of its own: the endpoint files and the proxy say how things stand, so a
restarted coordinator goes on where the last one was.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from wattcast_coordinator.act import envoy_files
from wattcast_coordinator.act.poll import until
from wattcast_coordinator.act.proxy_dir import socket_path
from wattcast_coordinator.act.wire import call
from wattcast_core.errors import ConfigError, Unreachable

_APPLY_S = 1.5  # below the lease's margin: a switch is confirmed within the lease, or given up
_UP_S = 10.0


class Envoy:
    """Controls the Envoy of a folder written by ``envoy_files.write_bootstrap``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        transport = httpx.AsyncHTTPTransport(uds=str(socket_path(folder)))
        patience = httpx.Timeout(2.0)
        self._http = httpx.AsyncClient(transport=transport, timeout=patience, trust_env=False)

    async def aclose(self) -> None:
        """Close the connection to the admin socket; the proxy goes on."""
        await self._http.aclose()

    async def add(self, workload: str, address: str) -> None:
        """Attach an endpoint drained (no traffic); idempotent."""
        wanted = self._wanted(workload)
        if address not in wanted:
            await self._apply(workload, {**wanted, address: False})

    async def wait_up(self, workload: str, address: str) -> None:
        """Return when the proxy itself finds the endpoint healthy."""
        what = f"Envoy does not find {address} of {workload} healthy; does GET /health answer 200?"
        await until(lambda: self._is_up(workload, address), _UP_S, what)

    async def switch(self, workload: str, old: str, new: str) -> None:
        """Send new requests to ``new`` and drain ``old``; returns when confirmed."""
        if not await self._is_up(workload, new):
            raise Unreachable(f"Envoy finds {new} of {workload} down; not switched")
        await self._apply(workload, {**self._wanted(workload), new: True, old: False})

    async def active(self, workload: str, address: str) -> int:
        """Requests in flight at an endpoint."""
        host = (await self._hosts(workload)).get(address, {})
        stats = host.get("stats", ())
        return sum(int(s.get("value", 0)) for s in stats if s.get("name") == "rq_active")

    async def endpoints(self, workload: str) -> Mapping[str, bool]:
        """Address -> receives traffic; what is ordered is first confirmed to be in force."""
        wanted = self._wanted(workload)
        if not await self._in_force(workload, wanted):
            await self._apply(workload, wanted)
        return wanted

    async def remove(self, workload: str, address: str) -> None:
        """Detach an endpoint; idempotent."""
        wanted = self._wanted(workload)
        if wanted.pop(address, None) is not None:
            await self._apply(workload, wanted)

    def _wanted(self, workload: str) -> dict[str, bool]:
        path = envoy_files.endpoint_file(self._folder, workload)
        try:
            return envoy_files.read_endpoints(self._folder, workload)
        except FileNotFoundError as error:
            raise ConfigError(
                f"{path}: no such file: workload {workload} has no listener; "
                "remedy: give it a 'url' in the site file and restart the proxy"
            ) from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}: not an endpoint file: {error!r}; remedy: remove it"
            ) from error

    async def _apply(self, workload: str, wanted: Mapping[str, bool]) -> None:
        envoy_files.write_endpoints(self._folder, workload, wanted)
        what = f"Envoy did not take over the endpoints of {workload}"
        await until(lambda: self._in_force(workload, wanted), _APPLY_S, what)

    async def _in_force(self, workload: str, wanted: Mapping[str, bool]) -> bool:
        hosts = await self._hosts(workload)
        serving = {address: _health(host) != "DRAINING" for address, host in hosts.items()}
        return serving == dict(wanted)

    async def _is_up(self, workload: str, address: str) -> bool:
        host = (await self._hosts(workload)).get(address)
        if host is None:
            return False
        status = host.get("health_status", {})
        return not (status.get("failed_active_health_check") or status.get("pending_active_hc"))

    async def _hosts(self, workload: str) -> dict[str, Mapping[str, Any]]:
        clusters = await call(self._http, "GET", "http://envoy/clusters?format=json")
        for cluster in clusters.get("cluster_statuses", ()):
            if cluster["name"] == workload:
                return {_address(host): host for host in cluster.get("host_statuses", ())}
        return {}


def _address(host: Mapping[str, Any]) -> str:
    place = host["address"]["socket_address"]
    return f"{place['address']}:{place['port_value']}"


def _health(host: Mapping[str, Any]) -> str:
    return str(host.get("health_status", {}).get("eds_health_status", "HEALTHY"))
