"""Reads one Modbus device once, for a technician."""

from datetime import datetime

from wattcast_agent.devices import compose
from wattcast_agent.devices.compose import Answer, Parts
from wattcast_agent.devices.modbus import Gateway
from wattcast_agent.devices.unit import ModbusUnit
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device


async def read_once(device: Device, profile: Profile, now: datetime) -> Parts:
    """Samples and state of the device.

    Raises:
        Unreachable: no connection or no answer.
        DataError: it answers, but not as the profile says.
    """
    gateway = Gateway(device.host, device.port, profile.transport.timeout_real_s)
    unit = ModbusUnit(device, profile, gateway)
    try:
        answer = Answer(await unit.read(), problem=unit.notes)
    finally:
        gateway.close()
    return compose.device(device.id, profile, answer, now, stuck=False)
