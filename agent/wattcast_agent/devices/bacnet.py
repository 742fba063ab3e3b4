"""Objects of a building system by BACnet/IP, read only: UPS mode, battery, breaker positions."""

import asyncio
from collections.abc import Sequence
from typing import Any

from wattcast_agent.devices.decode import Objects, Raw
from wattcast_agent.devices.reach import nobody_listens
from wattcast_configs.address import Address
from wattcast_configs.profile import Command
from wattcast_core.errors import ConfigError, MissingExtraError, Refused, Unreachable

try:
    from bacpypes3.apdu import ErrorRejectAbortNack  # type: ignore[import-untyped]  # no types
    from bacpypes3.basetypes import ErrorType, StatusFlags  # type: ignore[import-untyped]  # no types
    from bacpypes3.ipv4.app import NormalApplication  # type: ignore[import-untyped]  # no types
    from bacpypes3.local.device import DeviceObject  # type: ignore[import-untyped]  # no types
    from bacpypes3.pdu import Address as Station  # type: ignore[import-untyped]  # no types
    from bacpypes3.pdu import IPv4Address
    from bacpypes3.primitivedata import ObjectIdentifier  # type: ignore[import-untyped]  # no types
except ImportError as error:
    raise MissingExtraError("bacpypes3", "bacnet") from error

_OURS = 4194302  # instance of this client: the highest that may be used
_ANY = "device,4194303"  # stands for the device itself, whatever its instance
_NAMES = ("vendor-name", "model-name", "object-name")
_AT_ONCE = 16  # objects in one request: an answer fits into the smallest segment
_BAD = (StatusFlags.fault, StatusFlags.outOfService)


class BacnetPeer:
    """One BACnet device.

    Attributes:
        secure: never: BACnet/IP is plain, and nothing is written by it.
    """

    introduces: tuple[str, ...] = (_ANY,)
    secure = False

    def __init__(self, where: Address, timeout_real_s: float) -> None:
        """Prepare; the first request opens the socket.

        Raises:
            ConfigError: the device's instance is no number.
        """
        instance = where.path.strip("/")
        if instance and not instance.isdecimal():
            raise ConfigError(f"{where}: '{instance}' is no device instance; give a number")
        self.address = str(where)
        self._where, self._timeout_real_s = where, timeout_real_s
        self._instance = int(instance) if instance else -1
        self._station = Station(f"{where.host}:{where.port}")
        self._app: Any = None

    async def snapshot(self, keys: Sequence[str]) -> Objects:
        """Present values of objects; what the device lacks is not there.

        Raises:
            Unreachable: no answer.
        """
        try:
            async with asyncio.timeout(self._timeout_real_s):
                found: dict[str, Raw] = {}
                await self._start()
                objects = [key for key in dict.fromkeys(keys) if key != _ANY]
                if _ANY in keys:
                    found[_ANY] = await self._name()
                for start in range(0, len(objects), _AT_ONCE):
                    found |= await self._values(objects[start : start + _AT_ONCE])
        except (TimeoutError, ErrorRejectAbortNack) as error:
            raise await self._silence(error) from error
        return found

    async def write(self, command: Command, argument: str) -> None:
        """Refuses: a building system is only read."""
        raise Refused(f"BACnet is read only; {command.name} {argument} was not written")

    async def close(self) -> None:
        """Close the socket."""
        if self._app is not None:
            self._app.close()
            self._app = None

    async def _start(self) -> None:
        if self._app is None:
            local = self._where.options.get("local", "0.0.0.0:0")
            ours = DeviceObject(
                objectIdentifier=("device", _OURS), objectName="wattcast", vendorIdentifier=0
            )
            self._app = NormalApplication(ours, IPv4Address(local))
        if self._instance < 0:
            heard = await self._app.who_is(address=self._station, timeout=self._timeout_real_s / 2)
            if len(heard) != 1:
                told = f"{len(heard)} devices answer there" if heard else "no device says who it is"
                raise Unreachable(f"{self.address}: {told}; give its instance: {self.address}/1234")
            self._instance = int(heard[0].iAmDeviceIdentifier[1])

    async def _name(self) -> str:
        device = ObjectIdentifier(f"device,{self._instance}")
        texts = []
        for name in _NAMES:
            try:
                texts.append(str(await self._app.read_property(self._station, device, name)))
            except ErrorRejectAbortNack as error:
                if str(error) == "no-response":
                    raise
        return " ".join(filter(None, texts)) or f"device {self._instance}"

    async def _values(self, keys: Sequence[str]) -> dict[str, Raw]:
        asked: list[Any] = []
        for key in keys:
            asked += [ObjectIdentifier(key), ["present-value", "status-flags"]]
        told = await self._app.read_property_multiple(self._station, asked)
        values: dict[str, Raw] = {}
        for (kind, number), name, _, value in told:
            key = f"{kind},{number}"
            if isinstance(value, ErrorType):
                continue
            if str(name) == "present-value":
                values.setdefault(key, _plain(value))
            elif any(value[bit] for bit in _BAD):
                values[key] = "fault"  # a value that its own device calls bad is none
        return values

    async def _silence(self, error: Exception) -> Unreachable:
        where, wait_real_s = self._where, self._timeout_real_s
        if await nobody_listens(where.host, where.port):
            return Unreachable(f"{self.address} refuses: nothing listens on this UDP port")
        why = f"no answer within {wait_real_s:g} s (time-out)"
        if isinstance(error, ErrorRejectAbortNack) and str(error) != "no-response":
            why = f"it refuses the request: {error}"
        return Unreachable(f"{self.address}: {why}; check address, port and network")


def _plain(value: Any) -> Raw:
    """A number, or the word of an enumeration: active, inactive."""
    if isinstance(value, float):
        return float(value)
    text = str(value)
    return int(text) if text.lstrip("-").isdecimal() else text
