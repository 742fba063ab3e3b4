"""The room's meters, switches and sensors as Modbus units behind gateways, one gateway a device."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from wattcast_tools.room.gateways import FC3, FC4, Gateway, Unit
from wattcast_tools.room.httpd import HOST
from wattcast_tools.room.layout import Ats, Pdu, Server
from wattcast_tools.room.metering import Health, Metering
from wattcast_tools.room.model import World
from wattcast_tools.room.registers import (
    Electric,
    Image,
    sdm630,
    xerus_inlet,
    xerus_switch,
    xy_md02,
)

PDU_UNIT = ATS_UNIT = SENSOR_UNIT = 1
SOURCE_UNITS = (2, 3)  # input meters of an ATS's sources A and B
_FIRST_CORD = 2  # on a rack PDU's gateway
_FIRST_CORD_ATS = 4


class Devices:
    """All Modbus devices.

    Args:
        world, meters: what they show.
        speed: data seconds a real second, now; an ATS's delay is a real one.
    """

    def __init__(self, world: World, meters: Metering, speed: Callable[[], float]) -> None:
        self._world, self._meters, self._speed = world, meters, speed
        layout = world.layout
        self.gateways: dict[str, Gateway] = {p.id: Gateway(self._pdu(p)) for p in layout.pdus}
        self.gateways |= {s.id: Gateway(self._switch(s)) for s in layout.switches}
        self.gateways |= {f"sensor-{r}": Gateway(self._sensor(r)) for r in layout.racks}

    async def start(self) -> None:
        """Open all gateways on free ports."""
        for gateway in self.gateways.values():
            await gateway.start()

    async def close(self) -> None:
        """Close all gateways."""
        for gateway in self.gateways.values():
            await gateway.close()

    def place(self, device: str, unit: int) -> dict[str, Any]:
        """Where a unit is reached."""
        return {"host": HOST, "port": self.gateways[device].port, "unit": unit}

    def cord_place(self, server: Server, side: int) -> tuple[str, int]:
        """The gateway and unit that meter one cord of a server."""
        rack = [s for s in self._world.layout.servers if s.rack == server.rack]
        if server.share_a is None:
            single = [s.id for s in rack if s.share_a is None]
            return f"ats-{server.rack}", _FIRST_CORD_ATS + single.index(server.id)
        dual = [s.id for s in rack if s.share_a is not None]
        return f"pdu-{server.rack}-{'ab'[side]}", _FIRST_CORD + dual.index(server.id)

    def _pdu(self, pdu: Pdu) -> dict[int, Unit]:
        index = self._meters.index
        units = {PDU_UNIT: self._meter(FC3, xerus_inlet, index.inlets[pdu.id])}
        side = "ab".index(pdu.side)
        for server in self._world.layout.servers:
            if server.rack == pdu.rack and server.share_a is not None:
                meter = index.cords[server.id, side]
                number = self.cord_place(server, side)[1]
                units[number] = self._meter(FC4, sdm630, meter)
        return units

    def _switch(self, switch: Ats) -> dict[int, Unit]:
        index = self._meters.index
        prefer = partial(self._prefer, switch)
        units = {ATS_UNIT: Unit(FC3, partial(self._switch_image, switch), prefer=prefer)}
        for inlet, number in enumerate(SOURCE_UNITS):
            meter = index.sources[switch.id, inlet]
            units[number] = self._meter(FC4, sdm630, meter)
        for server in self._world.layout.servers:
            if server.rack == switch.rack and server.share_a is None:
                meter = index.cords[server.id, 0]
                units[self.cord_place(server, 0)[1]] = self._meter(FC4, sdm630, meter)
        return units

    def _sensor(self, rack: str) -> dict[int, Unit]:
        return {SENSOR_UNIT: Unit(FC4, partial(self._climate, rack))}

    def _meter(
        self, functions: frozenset[int], encode: Callable[[Electric], Image], meter: int
    ) -> Unit:
        image = partial(self._image, encode, meter)
        return Unit(functions, image, silent=partial(self._silent, meter))

    def _silent(self, meter: int) -> bool:
        return bool(self._meters.health[meter] == Health.SILENT)

    def _image(self, encode: Callable[[Electric], Image], meter: int) -> Image:
        meters = self._meters
        bad = meters.health[meter] >= Health.NAN
        power_w = math.nan if bad else float(meters.power_w[meter])
        return encode(
            Electric(power_w, float(meters.voltage_v[meter]), float(meters.energy_wh[meter]))
        )

    def _switch_image(self, switch: Ats) -> Image:
        world = self._world
        index = world.switch_index[switch.id]
        active = world.active[index]
        alive = world.inlet_live(index, active)
        angle_deg = 4.0 + 2.0 * math.sin(world.now_s / 700.0 + index)
        return xerus_switch(active + 1 if alive else 0, world.preferred[index] + 1, angle_deg)

    def _prefer(self, switch: Ats, inlet: int) -> None:
        self._world.prefer(switch.id, inlet - 1, switch.delay_real_s * self._speed())

    def _climate(self, rack: str) -> Image:
        """Inlet air warms with the rack's load; its relative humidity falls with the warmth."""
        world = self._world
        mine = [world.server_index[s.id] for s in world.layout.servers if s.rack == rack]
        warm_c = float(world.loads.server_w[mine].sum()) / 1500.0
        warm_c += 0.3 * math.sin(world.now_s / 1100.0)
        return xy_md02(21.0 + warm_c, 46.0 - 2.0 * warm_c)
