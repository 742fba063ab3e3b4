"""Executor over the workload engines' HTTP interface, one engine a server."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from wattcast_configs.site import Site
from wattcast_coordinator.act.wire import call
from wattcast_core.errors import ConfigError, DataError, Unreachable

_START_S, _COPY_S, _STOP_S = 30.0, 300.0, 30.0


class EngineExecutor:
    """Starts, copies and stops workloads through the engine of each server."""

    def __init__(self, engines: Mapping[str, str]) -> None:
        """Take the engines' base URLs by server."""
        self._engines = {server: url.rstrip("/") for server, url in engines.items() if url}
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(5.0), trust_env=False)

    @classmethod
    def of_site(cls, site: Site) -> "EngineExecutor":
        """The engines a site file names."""
        return cls({server.id: server.engine for server in site.server})

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._http.aclose()

    async def placement(self) -> Mapping[str, tuple[str, ...]]:
        """Workload -> servers on which an instance runs; silent engines are left out."""
        servers = sorted(self._engines)
        answers = await asyncio.gather(
            *(self._instances(server) for server in servers), return_exceptions=True
        )
        found: dict[str, tuple[str, ...]] = {}
        for server, answer in zip(servers, answers, strict=True):
            if isinstance(answer, Unreachable | DataError):
                continue
            if isinstance(answer, BaseException):
                raise answer
            for name, address in answer.items():
                if address:
                    found[name] = (*found.get(name, ()), server)
        return found

    async def address(self, workload: str, server: str) -> str | None:
        """``host:port`` of a running instance, empty if stopped, None if nothing is kept."""
        return (await self._instances(server)).get(workload)

    async def start(self, workload: str, server: str) -> str:
        """Start an instance (idempotent) and return its ``host:port``."""
        url = f"{self._workload(workload, server)}/start"
        answer = await call(self._http, "POST", url, patience_s=_START_S)
        return _address(str(answer.get("url", "")), url)

    async def pull(self, workload: str, source: str, target: str) -> int:
        """Copy state incrementally from server to server; bytes copied."""
        url = f"{self._workload(workload, target)}/pull"
        answer = await call(self._http, "POST", url, {"from": self._engine(source)}, _COPY_S)
        return int(answer.get("bytes", 0))

    async def stop(self, workload: str, server: str) -> None:
        """Stop an instance (idempotent)."""
        url = f"{self._workload(workload, server)}/stop"
        await call(self._http, "POST", url, patience_s=_STOP_S)

    async def discard(self, workload: str, server: str) -> None:
        """Remove the state of a stopped instance (idempotent)."""
        await call(self._http, "DELETE", self._workload(workload, server), patience_s=_STOP_S)

    def _engine(self, server: str) -> str:
        if server not in self._engines:
            raise ConfigError(
                f"server {server} has no workload engine; remedy: set its 'engine' in the site file"
            )
        return self._engines[server]

    def _workload(self, workload: str, server: str) -> str:
        return f"{self._engine(server)}/workloads/{quote(workload, safe='')}"

    async def _instances(self, server: str) -> dict[str, str]:
        """Workload -> address, empty if it is stopped."""
        url = f"{self._engine(server)}/workloads"
        answer = await call(self._http, "GET", url)
        try:
            return {str(w["name"]): _running(w, url) for w in answer["workloads"]}
        except (KeyError, TypeError) as error:
            raise DataError(
                f"GET {url}: not a list of workloads (name, state, url): {error!r}"
            ) from error


def _running(workload: Mapping[str, Any], url: str) -> str:
    return _address(str(workload.get("url", "")), url) if workload["state"] == "running" else ""


def _address(text: str, url: str) -> str:
    """``host:port`` of a URL."""
    address = urlsplit(text).netloc
    if ":" not in address:
        raise DataError(f"{url}: expected a URL with host and port, got {text!r}")
    return address
