"""Devices of the rack file become units that can be read, whatever their protocol."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from wattcast_agent.devices.decode import Objects, Raw, Words
from wattcast_agent.devices.login import Login, login_of
from wattcast_configs.address import Address
from wattcast_configs.profile import Check, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import ConfigError

if TYPE_CHECKING:
    from wattcast_agent.devices.modbus import Gateway
    from wattcast_agent.devices.snapshot_unit import Peer
    from wattcast_agent.devices.snmp import Engines


_BY_HOST = {"modbus": "modbus-tcp", "snmp": "snmp"}  # what host and port mean


class Meter(Protocol):
    """A device that can be read."""

    device: Device
    profile: Profile
    notes: str

    async def read(self) -> Words | Objects:
        """Raw readings; raises Unreachable or DataError."""

    def rest(self) -> None:
        """All of its connection's devices have been read for now."""

    async def introduce(self) -> str:
        """What it says of itself: vendor, model, ...; raises as ``read``."""

    async def look(self, family: Profile, checks: Sequence[Check]) -> Mapping[Check, Raw | None]:
        """What it shows where the checks of a family look; raises as ``read``."""


class TransferSwitch(Protocol):
    """A device that can be told which source it shall prefer."""

    async def command(self, name: str, argument: str) -> None:
        """Write a named command of the profile; raises Refused or Unreachable."""


class Unit(Meter, TransferSwitch, Protocol):
    """A device of the rack file behind its protocol; without commands it refuses all."""


class Connections:
    """What several devices share: a Modbus gateway or serial line, or an SNMP engine.

    Protocols are imported when the first device speaks them: each costs memory that a rack
    without such devices need not pay.
    """

    def __init__(self, timeout_real_s: float = 0.0) -> None:
        """Start without connections.

        Args:
            timeout_real_s: wait for one answer instead of the profile's time, and never back off:
                for a technician who waits; 0 = as the profiles say.
        """
        self._timeout_real_s = timeout_real_s
        self._gateways: dict[str, Gateway] = {}
        self._engines: Engines | None = None
        self._peers: dict[str, Peer] = {}

    @property
    def resyncs(self) -> int:
        """Connections dropped because what came was not what had been asked for."""
        return sum(gateway.resyncs for gateway in self._gateways.values())

    def unit(self, device: Device, profile: Profile, login: Login | None = None) -> Unit:
        """The unit of a device; ``login`` instead of what the rack file says.

        Raises:
            ConfigError: its address or login is not complete, or of another protocol.
        """
        where = device.where
        if not device.url and profile.protocol in _BY_HOST:
            where = replace(where, scheme=_BY_HOST[profile.protocol])
        if where.protocol != profile.protocol:
            raise ConfigError(
                f"device {device.id}: profile {profile.name} is for {profile.protocol}, but its"
                f" address is {where}"
            )
        if device.point:
            profile = replace(profile, point=(*profile.point, *device.point))
        if not (profile.point or profile.repeat):
            raise ConfigError(
                f"device {device.id}: its readings are site data; add [[device.point]] with"
                " quantity and object to its entry in the rack file, or write a profile of your own"
            )
        login = login or login_of(device, where)
        make = {"modbus": self._modbus, "snmp": self._snmp}.get(where.protocol, self._snapshot)
        return make(device, where, profile, login)

    def rest(self) -> None:
        """Let go of connections; what is asked next connects again."""
        for gateway in self._gateways.values():
            gateway.close()

    async def close(self) -> None:
        """Close all connections, and log out where a session is kept."""
        for gateway in self._gateways.values():
            gateway.close()
        if self._engines is not None:
            self._engines.close()
        for peer in self._peers.values():
            await peer.close()
        await asyncio.sleep(0)  # lets the transports finish closing

    def _wait(self, profile: Profile) -> float:
        return self._timeout_real_s or profile.transport.timeout_real_s

    def _modbus(self, device: Device, where: Address, profile: Profile, login: Login) -> Unit:
        from wattcast_agent.devices.modbus import Gateway
        from wattcast_agent.devices.modbus_unit import ModbusUnit

        if where.line not in self._gateways:
            wait_real_s, patient = self._wait(profile), self._timeout_real_s > 0
            self._gateways[where.line] = Gateway(where, login, wait_real_s, patient=patient)
        return ModbusUnit(device, profile, self._gateways[where.line])

    def _snapshot(self, device: Device, where: Address, profile: Profile, login: Login) -> Unit:
        from wattcast_agent.devices.snapshot_unit import SnapshotUnit

        if str(where) not in self._peers:
            self._peers[str(where)] = _peer(where, login, self._wait(profile))
        return SnapshotUnit(device, profile, self._peers[str(where)])

    def _snmp(self, device: Device, where: Address, profile: Profile, login: Login) -> Unit:
        from wattcast_agent.devices.snmp import Engines, SnmpPeer
        from wattcast_agent.devices.snmp_unit import SnmpUnit

        self._engines = self._engines or Engines()
        peer = SnmpPeer(where.host, where.port, login, self._engines, self._wait(profile))
        return SnmpUnit(device, profile, peer)


def _peer(where: Address, login: Login, timeout_real_s: float) -> "Peer":
    if where.protocol == "nut":
        from wattcast_agent.devices.nut import NutPeer

        return NutPeer(where, login, timeout_real_s)
    if where.protocol == "bacnet":
        from wattcast_agent.devices.bacnet import BacnetPeer

        return BacnetPeer(where, timeout_real_s)
    from wattcast_agent.devices.redfish import RedfishPeer

    return RedfishPeer(where, login, timeout_real_s)
