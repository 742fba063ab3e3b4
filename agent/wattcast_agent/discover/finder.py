"""Finds coordinators by zeroconf."""

import asyncio
import logging

from zeroconf import InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from wattcast_core.discovery import SERVICE_TYPE, Advert, unpack
from wattcast_core.errors import DataError, Unreachable

_log = logging.getLogger(__name__)
_RESOLVE_REAL_MS = 3000.0


class Finder:
    """Knows the coordinators of one cluster; the leader (highest token) is tried first."""

    def __init__(self, cluster: str, interface: str) -> None:
        """Look for ``cluster`` on the interface with this address (empty = all)."""
        self._cluster, self._interface = cluster, interface
        self._known: dict[str, tuple[str, Advert]] = {}  # service name -> host:port, record
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._resolving: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def start(self) -> None:
        """Begin to browse.

        Raises:
            Unreachable: the interface does not exist.
        """
        choice = [self._interface] if self._interface else InterfaceChoice.All
        try:
            self._zeroconf = AsyncZeroconf(interfaces=choice)
        except (OSError, RuntimeError) as error:
            raise Unreachable(
                f"zeroconf on interface {self._interface or 'all'}: {error}; remedy: check"
                " agent.interface, or give [coordinator] address"
            ) from error
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )

    async def address(self) -> str:
        """``host:port`` of the best coordinator; waits until one is announced."""
        while not self._known:
            self._changed.clear()
            await self._changed.wait()
        found = dict(self._known.values())
        return min(found, key=lambda a: (self._failures.get(a, 0), -found[a].token, a))

    def failed(self, address: str) -> None:
        """Try others before this one."""
        self._failures[address] = self._failures.get(address, 0) + 1

    async def stop(self) -> None:
        """Stop browsing; idempotent."""
        for task in self._resolving:
            task.cancel()
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            await self._zeroconf.async_close()
        self._browser = self._zeroconf = None

    def _on_change(
        self,
        zeroconf: Zeroconf,
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            self._known.pop(name, None)
            return
        task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, service_type, name))
        self._resolving.add(task)
        task.add_done_callback(self._resolving.discard)

    async def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        info = AsyncServiceInfo(service_type, name)
        if not await info.async_request(zeroconf, _RESOLVE_REAL_MS):
            return
        try:
            advert = unpack(info.properties)
        except DataError as error:
            _log.warning("%s: %s", name, error)
            return
        hosts = info.parsed_addresses()
        if advert.cluster != self._cluster or not hosts or info.port is None:
            return
        host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
        self._known[name] = (f"{host}:{info.port}", advert)
        self._failures.clear()
        self._changed.set()
