"""An explicit address, which overrides discovery."""

from wattcast_core.errors import ConfigError


class Fixed:
    """Always the same coordinator."""

    def __init__(self, address: str) -> None:
        """Take ``host:port``.

        Raises:
            ConfigError: the address has another form.
        """
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(f"coordinator address '{address}': give HOST:PORT")
        self._address = address

    async def start(self) -> None:
        """Nothing to start."""

    async def address(self) -> str:
        """``host:port``."""
        return self._address

    def failed(self, address: str) -> None:
        """There is no other to try."""

    async def stop(self) -> None:
        """Nothing to stop."""
