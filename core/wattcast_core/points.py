"""Names of readings, the same in profiles, samples, messages and for people.

A name is the part it belongs to and its quantity with unit: ``inlet.1.L2.current_a``,
``outlet.7.power_w``, ``env.1.temperature_c``, ``ats.active_source``. Parts are ``device`` (its own
total), ``inlet.N``, ``output.N``, ``bank.N``, ``outlet.N``, their lines ``L1`` to ``L3`` (``L1_L2``
between two of them), ``env.N``, ``ats``, ``ats.source.A`` and ``ups``. A reading has one name, the
most specific: the total of a device with one inlet is ``inlet.1.power_w``.

A state is a number from the list of its words here, so that it can be averaged, stored and sent as
any reading; people and ``--json`` see the word.
"""

import math
from collections.abc import Mapping

WORKLOAD = "workload."  # of a server: workload.ID.cpu_seconds_total, .memory_bytes, .io_bytes_total
ACTIVE_SOURCE, PREFERRED_SOURCE = "ats.active_source", "ats.preferred_source"
PHASE_ANGLE_DEG = "ats.phase_angle_deg"
INLET_POWER_W = "inlet.1.power_w"

QUANTITIES = (
    *("power_w", "apparent_power_va", "power_factor", "energy_wh", "energy_export_wh"),
    *("voltage_v", "current_a", "frequency_hz", "phase_angle_deg", "load_pct"),
    *("temperature_c", "humidity_pct", "dew_point_c"),
    *("battery_charge_pct", "battery_runtime_s"),
)
_YES_NO = ("no", "yes")
_SOURCES = ("none", "A", "B")
STATES: Mapping[str, tuple[str, ...]] = {
    "active_source": _SOURCES,
    "preferred_source": _SOURCES,
    "state": ("off", "on"),
    **dict.fromkeys(("available", "phase_in_sync", "redundant", "overcurrent"), _YES_NO),
    **dict.fromkeys(("switch_ok", "hardware_ok", "comms_ok", "supply_ok"), _YES_NO),
    **dict.fromkeys(("panel_locked", "on_battery", "on_bypass"), _YES_NO),
    **dict.fromkeys(("remote_control", "fault", "closed", "inhibited", "automatic"), _YES_NO),
    **dict.fromkeys(("present", "healthy"), _YES_NO),
}

_UNITS = {
    "w": "W",
    "va": "VA",
    "v": "V",
    "a": "A",
    "hz": "Hz",
    "wh": "Wh",
    "c": "degC",
    "pct": "%",
    "deg": "degree",
    "s": "s",
}


def words_of(name: str) -> tuple[str, ...]:
    """Words of a state, in the order of their numbers; nothing for a quantity with a unit."""
    return STATES.get(name.rpartition(".")[2], ())


def power_w(readings: Mapping[str, float]) -> float:
    """What the device takes: its own total, else the sum of its inlets; NaN if it has neither."""
    if "device.power_w" in readings:
        return readings["device.power_w"]
    inlets = [w for name, w in readings.items() if _is_of_inlet(name, "power_w")]
    return sum(inlets) if inlets else math.nan


def supply(readings: Mapping[str, float], quantity: str) -> float:
    """Voltage, current or frequency at the first inlet, or of its first line; NaN if unknown."""
    names = (f"inlet.1.{quantity}", f"inlet.1.L1.{quantity}")
    return next((readings[name] for name in names if name in readings), math.nan)


def _is_of_inlet(name: str, quantity: str) -> bool:
    part, _, number = name.removesuffix(f".{quantity}").partition(".")
    return name.endswith(f".{quantity}") and part == "inlet" and number.isdigit()


def unit_of(name: str) -> str:
    """Unit of a reading as people write it; empty for states and pure numbers."""
    return _UNITS.get(name.rpartition(".")[2].rpartition("_")[2], "") if not words_of(name) else ""
