"""The registry of agents in etcd; it vanishes with the term of the leader they talk to."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from wattcast_coordinator.coord.election import Leadership

PREFIX = "/wattcast/agents/"


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent that is connected.

    Attributes:
        since: data time of its connection, ISO 8601.
        token: term in which it connected.
    """

    id: str
    rack: str
    since: str
    token: int


class Registry:
    """Agents connected to this leader, for others to see (``etcdctl get --prefix``)."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def join(self, agent: str, rack: str, at: datetime) -> None:
        """Enter an agent (idempotent; Deposed if this term is over)."""
        record = AgentRecord(agent, rack, at.isoformat(), self._leadership.token)
        await self._leadership.put({PREFIX + agent: json.dumps(asdict(record))}, leased=True)

    async def leave(self, agent: str) -> None:
        """Strike an agent off."""
        await self._leadership.etcd.delete(PREFIX + agent)

    async def list(self) -> tuple[AgentRecord, ...]:
        """All agents, by id."""
        found = await self._leadership.etcd.list(PREFIX)
        return tuple(AgentRecord(**json.loads(kv.value)) for kv in found)
