"""Leader election over etcd. The fencing token is the create_revision of the leader's own key."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from wattcast_coordinator.coord.etcd import Etcd, Guard, KeyValue
from wattcast_core.errors import Refused, Unreachable, WattcastError

_SAFE_PART = 0.9  # of the TTL, counted from before the renewal was sent


class Deposed(Refused):
    """This coordinator no longer leads; nothing was written."""


@dataclass(frozen=True, slots=True)
class Leadership:
    """One term: what a leader may write with.

    Attributes:
        key: the election key of this term.
        token: fencing token; grows from term to term.
        lease: id of the term's lease; what hangs on it vanishes with the term.
    """

    etcd: Etcd
    key: str
    token: int
    lease: int

    async def put(self, values: Mapping[str, str | None], *, leased: bool = False) -> None:
        """Write all values (None deletes) in one transaction that checks that this term stands.

        Raises:
            Deposed: it does not; nothing was written.
            Unreachable: etcd did not answer; the outcome is unknown, the same put may be repeated.
        """
        guard = Guard(self.key, self.token)
        if not await self.etcd.put_if(guard, values, self.lease if leased else 0):
            raise Deposed(f"token {self.token} is outdated: another coordinator leads now")


Lead = Callable[[Leadership], Awaitable[None]]


class Elector:
    """Campaigns for the leadership of a power domain.

    Args:
        name: the domain.
        me: id of this coordinator.
        ttl_s: real seconds after which a silent leader is replaced.
    """

    def __init__(self, etcd: Etcd, name: str, me: str, ttl_s: int = 3) -> None:
        self._etcd, self._me, self._ttl_s = etcd, me, ttl_s
        self._prefix = f"/wattcast/election/{name}/"
        self._deadline_s = 0.0
        self._token = 0

    @property
    def token(self) -> int:
        """Fencing token while this coordinator leads, else 0."""
        return self._token if asyncio.get_running_loop().time() < self._deadline_s else 0

    async def leader(self) -> tuple[str, int]:
        """Id and token of who leads now; ("", 0) if nobody does."""
        keys = await self._candidates()
        return (keys[0].value, keys[0].create_revision) if keys else ("", 0)

    async def run(self, lead: Lead) -> None:
        """Campaign until ``lead`` returns by itself; it is cancelled whenever a term is lost.

        What ``lead`` raises ends the campaign, except ``Deposed`` and ``Unreachable``. Cancel
        this task to resign: the lease is given back, the next leader needs not wait for it.
        """
        while True:
            if await self._term(lead):
                return
            await asyncio.sleep(self._ttl_s / 20)

    async def _term(self, lead: Lead) -> bool:
        try:
            start_s = asyncio.get_running_loop().time()
            lease = await self._etcd.grant(self._ttl_s)
        except Unreachable:
            return False
        self._deadline_s = start_s + self._ttl_s * _SAFE_PART
        try:
            return await self._until_lost(lease, lead)
        except (Deposed, Unreachable):
            return False
        finally:
            self._token, self._deadline_s = 0, 0.0
            with contextlib.suppress(WattcastError):
                await self._etcd.revoke(lease)

    async def _until_lost(self, lease: int, lead: Lead) -> bool:
        """True if ``lead`` came to its own end before the lease was lost."""
        renewing = asyncio.create_task(self._renew(lease))
        leading = asyncio.create_task(self._campaign_and_lead(lease, lead))
        try:
            await asyncio.wait((renewing, leading), return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
                return True
            return False
        finally:
            for task in (renewing, leading):
                task.cancel()
            await asyncio.gather(renewing, leading, return_exceptions=True)

    async def _campaign_and_lead(self, lease: int, lead: Lead) -> None:
        key = f"{self._prefix}{lease:016x}"
        self._token = await self._campaign(key, lease)
        await lead(Leadership(self._etcd, key, self._token, lease))

    async def _campaign(self, key: str, lease: int) -> int:
        await self._etcd.put(key, self._me, lease)
        while True:
            keys = await self._candidates()
            place = next((n for n, kv in enumerate(keys) if kv.key == key), None)
            if place is None:
                raise Deposed("the lease ended during the campaign")
            if place == 0:
                return keys[0].create_revision
            await self._etcd.wait_gone(keys[place - 1].key)

    async def _candidates(self) -> list[KeyValue]:
        return sorted(await self._etcd.list(self._prefix), key=lambda kv: kv.create_revision)

    async def _renew(self, lease: int) -> None:
        """Return when the lease is lost, or must be presumed lost."""
        loop = asyncio.get_running_loop()
        while (sent_s := loop.time()) < self._deadline_s:
            try:
                if not await self._etcd.keep_alive(lease, self._ttl_s / 4):
                    return
                self._deadline_s = sent_s + self._ttl_s * _SAFE_PART
                await asyncio.sleep(self._ttl_s / 4)
            except WattcastError:
                await asyncio.sleep(0.05)
