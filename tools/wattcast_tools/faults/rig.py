"""Fifty devices on loopback, half of them faulty in every known way, read as an agent does."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice

from wattcast_agent.devices.poller import Poll, Poller
from wattcast_configs.place import Protocol
from wattcast_configs.point import Point
from wattcast_configs.profile import Profile, Transport
from wattcast_configs.rack import Agent, Device, Rack, Snmp
from wattcast_core.modbus.registers import encode_number
from wattcast_core.points import INLET_POWER_W
from wattcast_core.samples import Quality
from wattcast_tools.faults import modbus, snmp

_POWER, _ENERGY, _HOLE = 0x00, 0x10, 0x20
_OID = "1.3.6.1.4.1.99999.1"
_EACH_W = 1000.0  # apart, so that one device's value is wrong at any other
COMMUNITY_ENV = "WATTCAST_RIG_COMMUNITY"

_WIDE = (-1e9, 1e9)


def _profile(name: str, protocol: Protocol, transport: Transport, *points: Point) -> Profile:
    return Profile(
        vendor="Wattcast",
        models=("rig",),
        kind="meter",
        certainty="A",
        sources=("this file",),
        transport=transport,
        point=points,
        protocol=protocol,
        name=name,
    )


_REGISTERS = tuple(
    Point(quantity, *_WIDE, address=address, type="f32")
    for quantity, address in (
        (INLET_POWER_W, _POWER),
        ("inlet.1.energy_wh", _ENERGY),
        ("inlet.1.voltage_v", _HOLE),
    )
)
_OBJECTS = tuple(
    Point(quantity, *_WIDE, oid=f"{_OID}.{n}.0", scale=0.001)
    for n, quantity in enumerate((INLET_POWER_W, "inlet.1.energy_wh"), 1)
)
_MODBUS = _profile("rig_modbus", "modbus", Transport(function=3, max_gap=64), *_REGISTERS)
_SLEEPY = Transport(function=3, max_gap=64, wake_real_s=modbus.WAKE_REAL_S)
_MODBUS_SLEEPY = _profile("rig_sleepy", "modbus", _SLEEPY, *_REGISTERS)
_SNMP = _profile("rig_snmp", "snmp", Transport(), *_OBJECTS)


@dataclass
class One:
    """A device of the rig: its true power tells its number and the time at which it answered.

    Attributes:
        fault: name of its habit; empty = none.
    """

    number: int
    protocol: str
    fault: str
    start_real_s: float
    peer: modbus.Device | snmp.Agent = field(init=False)

    def __post_init__(self) -> None:
        if self.protocol == "snmp":
            self.peer = snmp.Agent(self._objects, fault=self.fault)
        else:
            self.peer = modbus.Device(self._registers, self.fault, hole=_HOLE)

    @property
    def name(self) -> str:
        """Its id in the rack file."""
        return f"{self.number:02}-{self.protocol}-{self.fault or 'healthy'}"

    def power_w(self, at_real_s: float) -> float:
        """What it truly takes."""
        return _EACH_W * self.number + (at_real_s - self.start_real_s)

    def entry(self) -> Device:
        """Its entry in the rack file."""
        modbus_profile = _MODBUS_SLEEPY if self.fault == "wake_up" else _MODBUS
        profile = modbus_profile if isinstance(self.peer, modbus.Device) else _SNMP
        login = Snmp(community=f"env:{COMMUNITY_ENV}") if self.protocol == "snmp" else Snmp()
        return Device(self.name, profile.name, "127.0.0.1", self.peer.port, snmp=login)

    def _registers(self) -> Mapping[int, int]:
        values = {_POWER: self.power_w(time.time()), _ENERGY: 1.0, _HOLE: 230.0}
        words = dict.fromkeys(range(_HOLE + 2), 0)
        for address, value in values.items():
            words |= dict(enumerate(encode_number(value, "f32"), address))
        return words

    def _objects(self) -> Mapping[str, int]:
        return {f"{_OID}.1.0": round(1000 * self.power_w(time.time())), f"{_OID}.2.0": 1000}


@dataclass
class Found:
    """What the rig saw of one device.

    Attributes:
        good, bad: power readings by quality; ``wrong`` are good ones that are not true.
        late_ms: a healthy device's first request after each beat, by its own clock.
    """

    protocol: str
    fault: str
    good: int = 0
    bad: int = 0
    wrong: int = 0
    problem: str = ""
    late_ms: list[float] = field(default_factory=list)


def devices(count: int, start_real_s: float) -> list[One]:
    """``count`` devices, every second one faulty; all faults come before any comes again."""
    faults = [("modbus", f) for f in modbus.FAULTS] + [("snmp", f) for f in snmp.FAULTS]
    healthy = [("modbus", "")] * 4 + [("snmp", "")]
    faulty = islice(cycle(faults), count // 2)
    kinds = [*faulty, *islice(cycle(healthy), count - count // 2)]
    return [One(n, *kind, start_real_s) for n, kind in enumerate(kinds, 1)]


async def run(count: int, duration_real_s: float, period_real_s: float) -> list[Found]:
    """Read ``count`` devices for a while; what was seen of each.

    Set the environment variable COMMUNITY_ENV before.
    """
    room = devices(count, time.time())
    for one in room:
        await one.peer.start()
    blocker = await _occupy(room)
    rack = Rack(Agent("rig", "rig", ""), tuple(one.entry() for one in room), ())
    profiles = {p.name: p for p in (_MODBUS, _MODBUS_SLEEPY, _SNMP)}
    poller = Poller(rack, profiles, lambda: datetime.fromtimestamp(time.time(), UTC))
    found = {one.name: Found(one.protocol, one.fault) for one in room}
    beats = []
    try:
        due_s = time.monotonic() + 0.1
        for _ in range(math.ceil(duration_real_s / period_real_s)):
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            _judge(await poller.poll(due_s), room, found)
            beats.append(due_s)
            due_s += period_real_s
    finally:
        await poller.close()
        for writer in blocker:
            writer.close()
        for one in room:
            await one.peer.stop()
    for one in room:
        found[one.name].late_ms = _late_ms(beats, one.peer.asked, period_real_s)
    return list(found.values())


async def _occupy(room: Sequence[One]) -> list[asyncio.StreamWriter]:
    """Hold the only connection of half of the one-client devices, as another system would."""
    held = []
    for one in room:
        if one.fault == modbus.ONE_CLIENT:
            _, writer = await asyncio.open_connection("127.0.0.1", one.peer.port)
            held.append(writer)
    return held


def _judge(poll: Poll, room: Sequence[One], found: Mapping[str, Found]) -> None:
    ones = {one.name: one for one in room}
    for sample in poll.samples:
        one = ones.get(sample.source)
        if one is None or sample.quantity != INLET_POWER_W:
            continue
        note = found[one.name]
        if sample.quality is Quality.GOOD:
            note.good += 1
            age_s = sample.value - one.power_w(sample.at.timestamp())
            note.wrong += not -0.01 <= age_s <= _oldest_s(one)
        else:
            note.bad += 1
    for state in poll.devices:
        if state.device in found and state.problem:
            found[state.device].problem = state.problem


def _oldest_s(one: One) -> float:
    """A reading is stamped when it begins: the answer is younger by what reading may take."""
    return 4.0 if one.fault in ("wake_up", "slow") else 1.5


def _late_ms(beats: Sequence[float], asked: Sequence[float], period_s: float) -> list[float]:
    """From each beat to the device's next request; the first one, which connects, left out."""
    late = []
    for due_s in beats[1:-1]:
        after = next((at for at in asked if at >= due_s - 0.001), due_s + period_s)
        late.append(1000 * max(0.0, after - due_s))
    return late
