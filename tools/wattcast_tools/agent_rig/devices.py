"""The rack's devices: PDUs of 42 outlets, a transfer switch with metered inputs, two sensors.

The PDU's register map is the bench's own, said by a profile beside the rack file: no maker's map
of 42 outlets is certain enough to ship.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wattcast_core.modbus.registers import encode_number
from wattcast_tools.faults.modbus import Device

OUTLETS = 42
PDU_PROFILE = "bench_pdu42.toml"
_OUTLET_BASE, _OUTLET_SIZE = 0x0100, 6
_INLET = {"power_w": 0, "current_a": 2, "voltage_v": 4, "frequency_hz": 6}
_VOLT, _HERTZ = 230.0, 50.0


def pdu_profile() -> str:
    """The profile of the bench's PDU, as a file."""
    lines = [
        'vendor = "Wattcast"\nmodels = ["bench"]\nkind = "pdu"\ncertainty = "A"',
        'sources = ["the bench itself"]\nacts_on = ["inlet.1.power_w"]\npoint = [',
    ]
    names = [(f"inlet.1.{quantity}", offset) for quantity, offset in _INLET.items()]
    for outlet in range(1, OUTLETS + 1):
        base = _OUTLET_BASE + (outlet - 1) * _OUTLET_SIZE
        names += [
            (f"outlet.{outlet}.{quantity}", base + offset)
            for quantity, offset in (("power_w", 0), ("current_a", 2), ("energy_wh", 4))
        ]
    lines += [
        f'  {{ quantity = "{name}", address = {address}, type = "f32", minimum = 0,'
        " maximum = 1000000000 },"
        for name, address in names
    ]
    return "\n".join([*lines, "]\n[transport]\nfunction = 3\n"])


def _words(values: Mapping[int, float]) -> dict[int, int]:
    return {
        address + offset: word
        for address, value in values.items()
        for offset, word in enumerate(encode_number(value, "f32"))
    }


def _pdu(at_s: float) -> dict[int, int]:
    watts = [100.0 + (outlet * 7 + int(at_s) * 3) % 50 for outlet in range(OUTLETS)]
    total = sum(watts)
    values = {0: total, 2: total / _VOLT, 4: _VOLT, 6: _HERTZ}
    for outlet, power_w in enumerate(watts):
        base = _OUTLET_BASE + outlet * _OUTLET_SIZE
        values |= {base: power_w, base + 2: power_w / _VOLT, base + 4: power_w * at_s / 3600}
    return _words(values)


def _meter(power_w: float, at_s: float) -> dict[int, int]:
    """An SDM630 on an input of the switch."""
    words = dict.fromkeys(range(0x4C), 0)
    amps = power_w / _VOLT
    hertz = _HERTZ + 0.01 * (int(at_s) % 3)
    return words | _words(
        {0x00: _VOLT, 0x06: amps, 0x0C: power_w, 0x34: power_w, 0x38: power_w, 0x3E: 1.0}
        | {0x46: hertz, 0x48: power_w * at_s / 3.6e6}
    )


def _switch(_at_s: float) -> dict[int, int]:
    return {0x2001: 1, 0x2002: 1} | _words({0x2008: 2.0})


def _sensor(at_s: float) -> dict[int, int]:
    return {1: 246 + int(at_s) % 5, 2: 512}


@dataclass(frozen=True)
class Entry:
    """A device and what the rack file says of it beyond its address."""

    id: str
    profile: str
    device: Device
    more: str = ""


class Devices:
    """All devices of the rack; ``entries`` is complete after ``start``."""

    def __init__(self, cords: Mapping[str, Mapping[str, str]]) -> None:
        """Make them; ``cords``: PDU -> outlet -> ``server/cord``."""
        self.entries = [
            *(
                Entry(pdu, PDU_PROFILE, _of(_pdu), _cords(outlets))
                for pdu, outlets in cords.items()
            ),
            Entry("ats", "raritan_xerus_ts", _of(_switch)),
            Entry("ats-a", "eastron_sdm630", _of(lambda s: _meter(900.0 + s % 9, s)), _role("a")),
            Entry("ats-b", "eastron_sdm630", _of(lambda s: _meter(0.0, s)), _role("b")),
            *(Entry(f"air-{n}", "xy_md02", _of(_sensor)) for n in (1, 2)),
        ]

    async def start(self) -> None:
        """Listen on free ports."""
        for entry in self.entries:
            await entry.device.start()

    async def stop(self) -> None:
        """Close all ports."""
        for entry in self.entries:
            await entry.device.stop()

    def toml(self) -> str:
        """Their ``[[device]]`` tables and the switch's limits."""
        tables = [
            f'[[device]]\nid = "{e.id}"\nprofile = "{e.profile}"\nhost = "127.0.0.1"\n'
            f"port = {e.device.port}\n{e.more}"
            for e in self.entries
        ]
        return "\n".join([*tables, '[[ats]]\nid = "ats"\nrating_a = 16.0\nhold_up_ms = 16.0\n'])


def _role(side: str) -> str:
    return f'ats = "ats"\nrole = "source_{side}"\n'


def _cords(outlets: Mapping[str, str]) -> str:
    pairs = ", ".join(f'"{outlet}" = "{cord}"' for outlet, cord in outlets.items())
    return f"cords = {{ {pairs} }}\n"


def _of(registers: Callable[[float], dict[int, int]]) -> Device:
    """A device whose registers are worked out once a second."""
    kept: tuple[int, dict[int, int]] = (-1, {})

    def now() -> dict[int, int]:
        nonlocal kept
        second = int(time.time())
        if kept[0] != second:
            kept = (second, registers(float(second)))
        return kept[1]

    return Device(now)
