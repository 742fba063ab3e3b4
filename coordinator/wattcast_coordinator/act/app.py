"""The control side of a movable workload: its gate, its records, its health."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from wattcast_coordinator.act.wire import call, send
from wattcast_coordinator.migrate.world import Gate
from wattcast_core.errors import DataError, Unreachable

_LOOK_S = 1.0  # an instance that does not tell its state within this counts as silent
_TRANSFERS = 8  # records fetched at a time while merging


class WorkloadApp:
    """Talks to running instances by their address (``host:port``)."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0), trust_env=False)

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._http.aclose()

    async def healthy(self, address: str) -> bool:
        """Whether it says it can serve."""
        try:
            answer = await send(self._http, "GET", f"http://{address}/health", patience_s=_LOOK_S)
        except Unreachable:
            return False
        return answer.status_code == 200

    async def gate(self, address: str) -> Gate | None:
        """The state of its gate, None if it does not answer."""
        url = f"http://{address}/control/state"
        try:
            state = await call(self._http, "GET", url, patience_s=_LOOK_S)
        except Unreachable:
            return None
        return Gate(
            generation=int(_number(state, "generation", url)),
            quiesced=_number(state, "quiesced", url) != 0,
            lease_remaining_s=_number(state, "lease_remaining_s", url),
            released=_number(state, "released", url) != 0,
        )

    async def quiesce(self, address: str, lease_s: float) -> int:
        """Hold requests until the lease ends; the generation of the gate."""
        url = f"http://{address}/control/quiesce"
        answer = await call(self._http, "POST", url, {"lease_s": lease_s}, lease_s)
        return int(_number(answer, "generation", url))

    async def release(self, address: str, generation: int) -> bool:
        """Send held and later requests away for good; False if the lease had lapsed."""
        url = f"http://{address}/control/release"
        answer = await send(self._http, "POST", url, {"generation": generation})
        if answer.status_code not in (200, 409):
            raise Unreachable(f"POST {url}: {answer.status_code} {answer.text[:200]}")
        return answer.status_code == 200

    async def reload(self, address: str) -> int:
        """Load what lies on disk; the number of records."""
        url = f"http://{address}/control/reload"
        return int(_number(await call(self._http, "POST", url, patience_s=30.0), "records", url))

    async def merge(self, source: str, target: str) -> int:
        """Bring records that only the source has to the target; how many there were."""
        has, lacks = await asyncio.gather(self._ids(source), self._ids(target))
        missing = sorted(has - lacks)
        for start in range(0, len(missing), _TRANSFERS):
            some = missing[start : start + _TRANSFERS]
            await asyncio.gather(*(self._carry(ident, source, target) for ident in some))
        return len(missing)

    async def _ids(self, address: str) -> set[str]:
        url = f"http://{address}/records"
        answer = await send(self._http, "GET", url, patience_s=30.0)
        if answer.status_code != 200:
            raise Unreachable(f"GET {url}: {answer.status_code} {answer.text[:200]}")
        try:
            content = json.loads(answer.content)
        except ValueError as error:
            raise DataError(f"GET {url}: no JSON: {answer.text[:80]!r}") from error
        records = content.get("records") if isinstance(content, dict) else content
        if not isinstance(records, list):
            raise DataError(f"GET {url}: expected a list of record ids")
        return {str(ident) for ident in records}

    async def _carry(self, ident: str, source: str, target: str) -> None:
        path = f"/records/{quote(ident, safe='')}"
        record = await send(self._http, "GET", f"http://{source}{path}")
        if record.status_code != 200:
            raise Unreachable(f"GET http://{source}{path}: {record.status_code}")
        try:
            stored = await self._http.put(
                f"http://{target}{path}",
                content=record.content,
                headers={"content-type": record.headers.get("content-type", "text/plain")},
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"PUT http://{target}{path}: {error}") from error
        if stored.status_code not in (200, 201, 204):
            raise Unreachable(f"PUT http://{target}{path}: {stored.status_code}")


def _number(answer: Mapping[str, Any], name: str, url: str) -> float:
    value = answer.get(name)
    if not isinstance(value, int | float):
        raise DataError(f"{url}: '{name}' is {value!r}; is it a workload of this version?")
    return float(value)
