"""Scrapes one server's Prometheus node_exporter."""

import asyncio
from urllib.parse import urlsplit

import httpx

from wattcast_agent.devices import node_metrics
from wattcast_core.errors import ConfigError, DataError, Unreachable

_HEADERS = {"accept-encoding": "identity"}  # on one rack's network packing costs more than it saves


def new_client() -> httpx.AsyncClient:
    """One client for all servers of the rack; environment proxies do not apply to a rack."""
    return httpx.AsyncClient(
        headers=_HEADERS, trust_env=False, limits=httpx.Limits(keepalive_expiry=60.0)
    )


class NodeExporter:
    """A server's metrics endpoint; ``/metrics`` is added where the address has no path."""

    def __init__(
        self, server: str, address: str, client: httpx.AsyncClient, *, timeout_real_s: float = 1.0
    ) -> None:
        self.server = server
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"server {server}: node_exporter '{address}' is no URL; write http://host:9100"
            )
        url = parts._replace(path="/metrics") if parts.path in ("", "/") else parts
        self._request = client.build_request("GET", url.geturl())
        self._client = client
        self._timeout_real_s = timeout_real_s

    async def read(self) -> dict[str, float]:
        """Canonical quantities.

        Raises:
            Unreachable: no answer, or not 200.
            DataError: the answer is no metrics text.
        """
        try:
            async with asyncio.timeout(self._timeout_real_s):
                answer = await self._client.send(self._request)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"{self._request.url}: {why}; is node_exporter running?") from error
        if answer.status_code != httpx.codes.OK:
            raise Unreachable(f"{self._request.url}: answered {answer.status_code}, expected 200")
        return self._parse(answer.text)

    def _parse(self, text: str) -> dict[str, float]:
        try:
            found = node_metrics.quantities(text)
        except ValueError as error:
            raise DataError(f"{self._request.url}: {error}") from error
        if not found:
            raise DataError(f"{self._request.url}: no node_exporter metrics; check the address")
        return found
