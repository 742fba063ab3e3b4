"""Devices of the rack file become units that can be read, whatever their protocol."""

from typing import TYPE_CHECKING, Protocol

from wattcast_agent.devices.decode import Objects, Words
from wattcast_agent.devices.modbus import Gateway
from wattcast_agent.devices.unit import ModbusUnit
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device

if TYPE_CHECKING:
    from wattcast_agent.devices.snmp import Engines


class Unit(Protocol):
    """A device of the rack file behind its protocol."""

    device: Device
    profile: Profile
    notes: str

    async def read(self) -> Words | Objects:
        """Raw readings; raises Unreachable or DataError."""

    def rest(self) -> None:
        """All of its connection's devices have been read for now."""

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile; raises Refused or Unreachable."""


class Connections:
    """Sockets that several devices share: a Modbus gateway, or an SNMP engine."""

    def __init__(self) -> None:
        self._gateways: dict[tuple[str, int], Gateway] = {}
        self._engines: Engines | None = None

    @property
    def resyncs(self) -> int:
        """Connections dropped because what came was not what had been asked for."""
        return sum(gateway.resyncs for gateway in self._gateways.values())

    def unit(self, device: Device, profile: Profile) -> Unit:
        """The unit of a device.

        Raises:
            ConfigError: its login is not complete.
        """
        if profile.protocol == "snmp":
            return self._snmp(device, profile)
        key = (device.host, device.port)
        if key not in self._gateways:
            self._gateways[key] = Gateway(*key, profile.transport.timeout_real_s)
        return ModbusUnit(device, profile, self._gateways[key])

    def close(self) -> None:
        """Close all connections."""
        for gateway in self._gateways.values():
            gateway.close()
        if self._engines is not None:
            self._engines.close()

    def _snmp(self, device: Device, profile: Profile) -> Unit:
        # Imported here: pysnmp costs 30 MB, which a rack without SNMP devices need not pay.
        from wattcast_agent.devices.snmp import Engines, SnmpPeer
        from wattcast_agent.devices.snmp_login import login_of
        from wattcast_agent.devices.snmp_unit import SnmpUnit

        self._engines = self._engines or Engines()
        login = login_of(device.id, device.snmp)
        timeout_real_s = profile.transport.timeout_real_s
        peer = SnmpPeer(device.host, device.port, login, self._engines, timeout_real_s)
        return SnmpUnit(device, profile, peer)
