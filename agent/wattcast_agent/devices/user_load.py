"""What a server's users ask of it: one Prometheus metric that the rack file names."""

import asyncio
import math
import re
from urllib.parse import urlsplit

import h11

from wattcast_agent.devices.http_get import Connection
from wattcast_configs.rack import UserLoad
from wattcast_core.errors import ConfigError, DataError, Unreachable

_OK = 200
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\\\]|\\\\.)*)"')


class UserLoadReader:
    """Adds up the series of one metric whose labels fit."""

    def __init__(self, server: str, wanted: UserLoad, *, timeout_real_s: float = 1.0) -> None:
        parts = urlsplit(wanted.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"server {server}: user_load.url '{wanted.url}' is no URL; write http://host/metrics"
            )
        self._target = parts._replace(scheme="", netloc="").geturl() or "/metrics"
        self._url, self._wanted, self._timeout_real_s = wanted.url, wanted, timeout_real_s
        self._connection = Connection.to(parts)
        name = re.escape(wanted.metric)
        self._line = re.compile(rf"^{name}(?:\{{([^}}]*)\}})? (\S+)", re.MULTILINE)
        self.quantity = "user_load_total" if wanted.kind == "counter" else "user_load"

    async def read(self) -> dict[str, float]:
        """``user_load_total`` of a counter, ``user_load`` of a gauge.

        Raises:
            Unreachable: no answer, or not 200.
            DataError: the metric is not there, or is no number.
        """
        try:
            async with asyncio.timeout(self._timeout_real_s):
                answer = await self._connection.get(self._target)
        except (h11.ProtocolError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self._url}: {str(error) or type(error).__name__}") from error
        if answer.status != _OK:
            raise Unreachable(f"{self._url}: answered {answer.status}, expected 200")
        return {self.quantity: self._sum(answer.body.decode(errors="replace"))}

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def _sum(self, text: str) -> float:
        fitting = [
            value
            for labels, value in self._line.findall(text)
            if self._wanted.labels.items() <= dict(_LABEL.findall(labels)).items()
        ]
        try:
            total = math.fsum(map(float, fitting))
        except ValueError as error:
            raise DataError(f"{self._url}: {self._wanted.metric}: {error}") from error
        if not fitting or not math.isfinite(total):
            raise DataError(f"{self._url}: no {self._wanted.metric} with these labels")
        return total
