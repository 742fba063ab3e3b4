"""Scrapes one server's Prometheus node_exporter."""

import asyncio
import re
from urllib.parse import quote, urlsplit

import h11

from wattcast_agent.devices import node_metrics
from wattcast_agent.devices.http_get import Connection, Response
from wattcast_core.errors import ConfigError, DataError, Unreachable

_OK, _BAD_REQUEST = 200, 400
_UNKNOWN = re.compile(r"(?:missing|disabled) collector: (\w+)")


class NodeExporter:
    """A server's metrics endpoint; ``/metrics`` is added where the address has no path.

    Only the collectors that are needed are asked for (a whole answer has 60 kB and more), and of
    those only the ones the server runs; an address with a query of its own is left as it is.
    """

    def __init__(self, server: str, address: str, *, timeout_real_s: float = 1.0) -> None:
        self.server = server
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"server {server}: node_exporter '{address}' is no URL; write http://host:9100"
            )
        path = parts.path if parts.path not in ("", "/") else "/metrics"
        self._target = f"{path}?{parts.query}" if parts.query else path
        self._url = f"{parts.scheme}://{parts.netloc}{self._target}"
        self._wanted = () if parts.query else node_metrics.COLLECTORS
        self._collectors = list(self._wanted)
        self._connection = Connection.to(parts)
        self._timeout_real_s = timeout_real_s

    async def read(self) -> dict[str, float]:
        """Canonical quantities.

        Raises:
            Unreachable: no answer, or not 200.
            DataError: the answer is no metrics text.
        """
        try:
            async with asyncio.timeout(self._timeout_real_s):
                answer = await self._ask()
        except (h11.ProtocolError, TimeoutError, OSError) as error:
            self._collectors = list(self._wanted)  # what comes back may run others
            why = str(error) or type(error).__name__
            raise Unreachable(f"{self._url}: {why}; is node_exporter running?") from error
        if answer.status != _OK:
            raise Unreachable(f"{self._url}: answered {answer.status}, expected 200")
        return self._parse(answer.body.decode(errors="replace"))

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    async def _ask(self) -> Response:
        """Ask for fewer collectors until the server knows them all."""
        while True:
            query = "&".join(f"{quote('collect[]')}={name}" for name in self._collectors)
            target = f"{self._target}?{query}" if query else self._target
            answer = await self._connection.get(target)
            if answer.status != _BAD_REQUEST or not self._collectors:
                return answer
            named = _UNKNOWN.search(answer.body.decode(errors="replace"))
            if named and named[1] in self._collectors:
                self._collectors.remove(named[1])
            else:
                self._collectors = []

    def _parse(self, text: str) -> dict[str, float]:
        try:
            found = node_metrics.quantities(text)
        except ValueError as error:
            raise DataError(f"{self._url}: {error}") from error
        if not found:
            raise DataError(f"{self._url}: no node_exporter metrics; check the address")
        return found
