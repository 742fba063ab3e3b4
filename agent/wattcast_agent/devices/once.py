"""Reads one device once, for a technician."""

import asyncio
from datetime import datetime

from wattcast_agent.devices import compose
from wattcast_agent.devices.compose import Answer, Parts
from wattcast_agent.devices.connect import Connections
from wattcast_configs.profile import Profile
from wattcast_configs.rack import Device


async def read_once(device: Device, profile: Profile, now: datetime) -> Parts:
    """Samples and state of the device.

    Raises:
        Unreachable: no connection or no answer.
        DataError: it answers, but not as the profile says.
    """
    connections = Connections()
    unit = connections.unit(device, profile)
    try:
        answer = Answer(await unit.read(), problem=unit.notes)
    finally:
        connections.close()
        await asyncio.sleep(0)  # lets the transports finish closing
    return compose.device(device.id, unit.profile, answer, now, stuck=False)
