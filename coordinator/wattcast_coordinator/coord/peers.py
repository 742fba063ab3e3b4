"""Where the coordinators of a site are, in etcd: one key each, kept when it goes away."""

from wattcast_coordinator.coord.etcd import Etcd

PREFIX = "/wattcast/coordinators/"


class Peers:
    """Addresses of the gRPC ports; one that is out of date only fails to answer."""

    def __init__(self, etcd: Etcd, me: str, address: str) -> None:
        self._etcd, self._me, self._address = etcd, me, address

    async def others(self) -> tuple[str, ...]:
        """Enter the own address, and give those of the others.

        Raises:
            Unreachable: etcd does not answer.
        """
        await self._etcd.put(PREFIX + self._me, self._address)
        found = await self._etcd.list(PREFIX)
        return tuple(kv.value for kv in found if kv.key != PREFIX + self._me)
