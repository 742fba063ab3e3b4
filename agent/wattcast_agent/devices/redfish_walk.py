"""From a Redfish resource along the paths of a profile.

A step of a path is a property, a reference that is followed, or ``{i}``: each member of a
collection or each element of a list.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from wattcast_agent.devices.decode import Raw

ID = "@odata.id"
Body = Mapping[str, Any]
Fetch = Callable[[str, bool], Awaitable[Body | None]]  # uri, with members -> resource or None
_Way = tuple[tuple[int, str], ...]  # position among siblings and name of each step


class Walk:
    """Follows paths; each resource is fetched once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._found: dict[_Way, Raw] = {}
        self._fetched: dict[str, asyncio.Task[Body | None]] = {}

    async def all(self, device: Body, paths: Iterable[str]) -> dict[str, Raw]:
        """What the paths lead to: path with names of members -> value, in the service's order."""
        try:
            await asyncio.gather(*(self._follow(device, tuple(p.split("/")), ()) for p in paths))
        finally:
            for task in self._fetched.values():
                task.cancel()
        ways = sorted(self._found)
        return {"/".join(name for _, name in way): self._found[way] for way in ways}

    async def _follow(self, node: Any, path: tuple[str, ...], way: _Way) -> None:
        if not path:
            if isinstance(node, bool | int | float | str):
                self._found[way] = str(node).lower() if isinstance(node, bool) else node
            return
        step, rest = path[0], path[1:]
        if isinstance(node, dict) and ID in node and (step == "{i}" or step not in node):
            node = await self._get(str(node[ID]), members=step == "{i}")
        if step == "{i}":
            listed = node.get("Members") if isinstance(node, dict) else node
            rows = enumerate(listed if isinstance(listed, list) else ())
            await asyncio.gather(*(self._follow_row(row, rest, way, at) for at, row in rows))
        elif isinstance(node, dict) and step in node:
            await self._follow(node[step], rest, (*way, (0, step)))

    async def _follow_row(self, row: Any, path: tuple[str, ...], way: _Way, at: int) -> None:
        """A member bears the Id it gives itself: other resources refer to it by that."""
        uri = str(row.get(ID, "")) if isinstance(row, dict) else ""
        if uri and row.keys() <= {ID}:
            row = await self._get(uri, members=False) or {}
        own = row.get("Id") if isinstance(row, dict) else None
        name = str(own or uri.rstrip("/").rpartition("/")[2] or at)
        await self._follow(row, path, (*way, (at, name)))

    async def _get(self, uri: str, *, members: bool) -> Body | None:
        if uri not in self._fetched:
            self._fetched[uri] = asyncio.ensure_future(self._fetch(uri, members))
        return await self._fetched[uri]


def members(collection: Body | None) -> list[str]:
    """Addresses of a collection's members."""
    found = (collection or {}).get("Members")
    listed = found if isinstance(found, list) else []
    return [str(m[ID]) for m in listed if isinstance(m, dict) and ID in m]


def reference(node: Body | None, name: str) -> str:
    """Address that a property refers to; empty if there is none."""
    link = (node or {}).get(name)
    return str(link.get(ID, "")) if isinstance(link, dict) else ""
