"""Which agent of a rack reads its devices: a lease in etcd, renewed by the agent's beats.

``etcdctl get --prefix /wattcast/racks/`` shows them as JSON. A record outlives terms: a new leader
gives every holder the whole time to be heard before another agent takes over.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from wattcast_coordinator.coord.election import Leadership
from wattcast_core.errors import DataError
from wattcast_core.units import EPOCH

PREFIX = "/wattcast/racks/"
TTL_REAL_S = 5.0  # a holder not heard for so long is replaced
_HISTORY = 32


@dataclass(frozen=True, slots=True)
class Held:
    """Since when an agent holds, or held, a rack (data time, ISO 8601)."""

    agent: str
    since: str


@dataclass(frozen=True, slots=True)
class RackLease:
    """The lease of one rack.

    Attributes:
        epoch: rises with every takeover.
        held: holders, oldest first; the last one holds it now.
        copy: the holder's safety state, as it last gave it.
    """

    rack: str
    epoch: int = 0
    held: tuple[Held, ...] = ()
    copy: str = ""

    @property
    def holder(self) -> str:
        """Agent that holds it now; empty if nobody ever did."""
        return self.held[-1].agent if self.held else ""

    def spans(self, agent: str) -> list[tuple[datetime, datetime | None]]:
        """From when to when an agent held it; None = until now.

        What came before the first known holder is anybody's.
        """
        begins = [datetime.fromisoformat(h.since) for h in self.held]
        ends = [*begins[1:], None]
        if begins:
            begins[0] = EPOCH
        return [
            (begin, end)
            for h, begin, end in zip(self.held, begins, ends, strict=True)
            if h.agent == agent
        ]


class Racks:
    """Leases of all racks, in memory and, under a term's fencing token, in etcd."""

    def __init__(self, leadership: Leadership, begin_s: float) -> None:
        """Start a term at this monotonic time; ``load`` comes first."""
        self._leadership, self._begin_s = leadership, begin_s
        self._leases: dict[str, RackLease] = {}
        self._damaged: set[str] = set()
        self._heard: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()

    async def load(self) -> list[str]:
        """Read what earlier terms granted; what is wrong with damaged records.

        A rack whose record is damaged is granted to nobody: who reads it now goes on.
        """
        problems = []
        for kv in await self._leadership.etcd.list(PREFIX):
            try:
                lease = _load(kv.key, kv.value)
                self._leases[lease.rack] = lease
            except DataError as error:
                self._damaged.add(kv.key.removeprefix(PREFIX))
                problems.append(str(error))
        return problems

    def of(self, rack: str) -> RackLease:
        """The lease of a rack."""
        return self._leases.get(rack, RackLease(rack))

    async def beat(
        self, rack: str, agent: str, now_s: float, at: datetime, *, epoch: int, leaving: bool
    ) -> RackLease:
        """An agent was heard: the lease as it is then, perhaps granted to it.

        Args:
            rack: its rack.
            agent: its id.
            now_s: monotonic.
            at: data time, from which on it would hold the lease.
            epoch: newest one the agent knows of.
            leaving: it stops now.
        """
        self._heard[agent] = float("-inf") if leaving else now_s
        async with self._one_at_a_time:  # two agents beat at once, and a grant takes a moment
            lease = self.of(rack)
            if leaving or lease.holder == agent or not self._is_free(lease, now_s):
                return lease
            held = (*lease.held, Held(agent, at.isoformat()))[-_HISTORY:]
            granted = replace(lease, epoch=max(lease.epoch, epoch) + 1, held=held)
            await self._put(granted)
            return granted

    async def keep(self, rack: str, agent: str, copy: str) -> bool:
        """Keep a holder's safety state; False if the agent does not hold the rack."""
        async with self._one_at_a_time:
            lease = self.of(rack)
            if lease.holder != agent:
                return False
            await self._put(replace(lease, copy=copy))
            return True

    def redundant(self, rack: str, agents: Mapping[str, str], now_s: float) -> bool:
        """Whether two agents of the rack were heard lately; ``agents``: agent -> rack."""
        alive = [a for a, r in agents.items() if r == rack and self._age_s(a, now_s) < TTL_REAL_S]
        return len(alive) > 1

    def _is_free(self, lease: RackLease, now_s: float) -> bool:
        if lease.rack in self._damaged:
            return False
        return not lease.holder or self._age_s(lease.holder, now_s) >= TTL_REAL_S

    def _age_s(self, agent: str, now_s: float) -> float:
        return now_s - self._heard.get(agent, self._begin_s)

    async def _put(self, lease: RackLease) -> None:
        await self._leadership.put({PREFIX + lease.rack: json.dumps(asdict(lease))})
        self._leases[lease.rack] = lease


def _load(key: str, text: str) -> RackLease:
    try:
        raw = json.loads(text)
        held = tuple(Held(**each) for each in raw["held"])
        for each in held:
            datetime.fromisoformat(each.since)
        return RackLease(raw["rack"], int(raw["epoch"]), held, str(raw["copy"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"etcd key {key} is no lease ({error!r}); remedy: look at the rack's transfer switches,"
            f" then etcdctl del {key}"
        ) from error
