"""Makes the coordinator known by zeroconf, so that agents need no address."""

import ipaddress

from zeroconf import InterfaceChoice, NonUniqueNameException, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from wattcast_core import discovery
from wattcast_core.errors import ConfigError, Unreachable


class Announcer:
    """One service record while it is started."""

    def __init__(self) -> None:
        self._zeroconf: AsyncZeroconf | None = None
        self._info: ServiceInfo | None = None

    async def start(
        self, address: str, port: int, cluster: str, interface: str = "", token: int = 0
    ) -> None:
        """Announce ``address:port``.

        Args:
            address: IP address agents can reach (not 0.0.0.0).
            port: gRPC port.
            cluster: name agents ask for.
            interface: address to bind zeroconf to, e.g. 127.0.0.1; empty = all.
            token: fencing token, 0 on one that does not lead.

        Raises:
            ConfigError: the address is not an IP address.
            Unreachable: the interface does not exist, or the name is taken.
        """
        self._info = _info(address, port, discovery.Advert(cluster, token=token))
        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=[interface] if interface else InterfaceChoice.All
            )
            await (await self._zeroconf.async_register_service(self._info))
        except (OSError, RuntimeError, NonUniqueNameException) as error:
            await self.stop()
            raise Unreachable(
                f"zeroconf on interface {interface or 'all'}: {error}; remedy: check"
                " listen.interface, or give the agents the address ([coordinator] address)"
            ) from error

    async def stop(self) -> None:
        """Take the record back; idempotent."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()


def _info(address: str, port: int, advert: discovery.Advert) -> ServiceInfo:
    try:
        packed = ipaddress.ip_address(address).packed
    except ValueError as error:
        raise ConfigError(
            f"listen.grpc: zeroconf needs an IP address to announce, not '{address}'"
        ) from error
    instance = f"{advert.cluster}-{address.replace('.', '-').replace(':', '-')}-{port}"
    return ServiceInfo(
        discovery.SERVICE_TYPE,
        f"{instance}.{discovery.SERVICE_TYPE}",
        addresses=[packed],
        port=port,
        properties=discovery.pack(advert),
        server=f"{instance}.local.",
    )
