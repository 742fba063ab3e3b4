"""Redirector over HAProxy's runtime socket; its file is rewritten after each change.

It keeps no state of its own: the proxy says how things stand. Servers added at run time vanish
when HAProxy is reloaded, therefore the file follows each change.
"""

import asyncio
import csv
from collections.abc import Mapping
from pathlib import Path

from wattcast_coordinator.act import haproxy_files
from wattcast_coordinator.act.haproxy_files import CHECK, server_name
from wattcast_coordinator.act.poll import until
from wattcast_coordinator.act.proxy_dir import socket_path
from wattcast_core.errors import ConfigError, Unreachable

_UP_S, _REMOVE_S, _ANSWER_S = 10.0, 10.0, 2.0
_Row = Mapping[str, str]


class HaProxy:
    """Controls the HAProxy of a folder written by ``haproxy_files.write_bootstrap``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = socket_path(folder)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    async def add(self, workload: str, address: str) -> None:
        """Attach an endpoint drained (no traffic); idempotent."""
        if address in await self.endpoints(workload):
            return
        server = f"{workload}/{server_name(address)}"
        # One message: HAProxy carries out all of it, also if the coordinator dies meanwhile.
        orders = f"add server {server} {address} {CHECK} weight 0"
        answer = await self._tell(f"{orders}; enable health {server}; enable server {server}")
        if "registered" not in answer:
            raise Unreachable(f"HAProxy refuses to add {server}: {answer}")
        await self._rewrite()

    async def wait_up(self, workload: str, address: str) -> None:
        """Return when the proxy itself finds the endpoint healthy."""
        what = (
            f"HAProxy does not find {address} of {workload} healthy; does GET /health answer 200?"
        )
        await until(lambda: self._is_up(workload, address), _UP_S, what)

    async def switch(self, workload: str, old: str, new: str) -> None:
        """Send new requests to ``new`` and drain ``old``; returns when confirmed."""
        if not await self._is_up(workload, new):
            raise Unreachable(f"HAProxy finds {new} of {workload} down; not switched")
        ready = f"set weight {workload}/{server_name(new)} 1"
        drain = f"set weight {workload}/{server_name(old)} 0"
        answer = await self._tell(f"{ready}; {drain}")
        serving = await self.endpoints(workload)
        if not serving.get(new) or serving.get(old):
            raise Unreachable(f"HAProxy did not switch {workload} to {new}: {answer}")
        await self._rewrite()

    async def active(self, workload: str, address: str) -> int:
        """Requests in flight at an endpoint."""
        row = (await self._rows(workload)).get(address, {})
        return int(row.get("scur", 0)) + int(row.get("qcur", 0))

    async def endpoints(self, workload: str) -> Mapping[str, bool]:
        """Address -> receives traffic."""
        return {
            address: row["weight"] != "0" for address, row in (await self._rows(workload)).items()
        }

    async def remove(self, workload: str, address: str) -> None:
        """Detach an endpoint; idempotent."""
        server = f"{workload}/{server_name(address)}"
        await self._tell(f"set server {server} state maint")

        async def gone() -> bool:
            answer = await self._tell(f"del server {server}")
            return "deleted" in answer or "No such" in answer

        await until(gone, _REMOVE_S, f"HAProxy does not let go of {server}", every_s=0.05)
        await self._rewrite()

    async def _is_up(self, workload: str, address: str) -> bool:
        row = (await self._rows(workload)).get(address)
        return row is not None and row["check_status"].lstrip("* ").startswith("L7OK")

    async def _rewrite(self) -> None:
        """Bring the file in line with the proxy, for its next start or reload."""
        listeners = haproxy_files.read_listeners(self._folder)
        endpoints = {workload: await self.endpoints(workload) for workload in listeners}
        haproxy_files.write_config(self._folder, listeners, endpoints)

    async def _rows(self, workload: str) -> dict[str, _Row]:
        """Address -> statistics."""
        lines = (await self._tell("show stat")).lstrip("# ").splitlines()
        rows = [row for row in csv.DictReader(lines) if row["pxname"] == workload]
        if not rows:
            raise ConfigError(
                f"HAProxy has no backend '{workload}'; remedy: give the workload a 'url' "
                "in the site file and restart the proxy"
            )
        return {row["addr"]: row for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"}}

    async def _tell(self, command: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(f"{command}\n".encode())
                    return (await reader.read()).decode().strip()
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"HAProxy at {self._socket}: {error!r}; is it running?") from error
