"""From the rack file to what the pure parts need."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from wattcast_agent.safety.limits import SOURCES, Limits
from wattcast_agent.signature.layout import HostSpec, Layout
from wattcast_agent.step import Setup
from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_configs.rack import Agent, Device, Host, Model, Rack
from wattcast_core.errors import ConfigError
from wattcast_core.signal.steps import STEP_S
from wattcast_core.signature import Tags

NO_UPS = "none"
_ROLES = {"source_a": "A", "source_b": "B"}


def setup(
    rack: Rack, kinds: Mapping[str, str], writes: Mapping[str, str] = MappingProxyType({})
) -> Setup:
    """Layout, switches, their input meters and the UPSes before them.

    Args:
        rack: the rack file.
        kinds: profile -> kind of device.
        writes: profile -> its commands as text; a change of them voids a commissioning.

    Raises:
        ConfigError: ids that clash or do not resolve.
    """
    _check_ids(rack)
    _check_pace(rack.agent)
    devices = {d.id: d for d in rack.device}
    return Setup(
        _layout(rack, kinds),
        _switches(rack, devices, writes),
        _inputs(rack, devices),
        _upses(rack, devices),
    )


def model_files(model: Model, base: Path) -> tuple[Path, Path]:
    """Model and manifest; relative paths count from the rack file's folder ``base``."""
    if not model.path:
        return BASE_MODEL, BASE_MANIFEST
    path = base / model.path
    return path, base / model.manifest if model.manifest else path.with_suffix(".manifest.json")


def _check_ids(rack: Rack) -> None:
    seen: set[str] = set()
    for name in (*(d.id for d in rack.device), *(s.id for s in rack.server)):
        if name in seen:
            raise ConfigError(f"rack file: id '{name}' is given twice; each device needs its own")
        seen.add(name)
    if not rack.server:
        raise ConfigError("rack file: no [[server]]; add the servers of this rack")


def _check_pace(agent: Agent) -> None:
    if not 0 < agent.step_s <= STEP_S:
        raise ConfigError(f"agent.step_s: {agent.step_s:g}; give 0 to {STEP_S:g}, the model's step")
    if not agent.poll_real_s > 0:
        raise ConfigError(f"agent.poll_real_s: {agent.poll_real_s:g}; give more than 0")


def _layout(rack: Rack, kinds: Mapping[str, str]) -> Layout:
    hosts = {h.id: h for h in rack.server}
    cords: dict[tuple[str, str], tuple[str, int]] = {}
    for device in rack.device:
        for part, (server, cord) in device.measured().items():
            host = hosts.get(server)
            if host is None or not 0 <= cord < host.cords:
                raise ConfigError(
                    f"device {device.id}: server '{server}' has no cord {cord};"
                    " give [[server]] id and cords"
                )
            if (server, cord) in cords.values():
                raise ConfigError(f"device {device.id}: its cord already has a meter")
            cords[device.id, f"{part}.power_w"] = (server, cord)
    specs = tuple(HostSpec(h.id, h.cords, _tags(rack.agent, h)) for h in rack.server)
    return Layout(specs, cords, _inlets(rack, kinds))


def _tags(agent: Agent, host: Host) -> Tags:
    site, rack, load = agent.site, agent.rack, host.user_load.metric
    return Tags(site, rack, host.application, host.version, host.os, host.criticality, load)


def _inlets(rack: Rack, kinds: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """A rack PDU and its cord meters share a gateway: the inlet is the sum of the cords."""
    lines: dict[str, list[Device]] = defaultdict(list)
    for device in rack.device:
        lines[device.where.line].append(device)
    found = {}
    for devices in lines.values():
        inlets = [d.id for d in devices if kinds.get(d.profile) == "pdu"]
        meters = frozenset(d.id for d in devices if kinds.get(d.profile) == "meter")
        if len(inlets) == 1 and meters:
            found[inlets[0]] = meters
    return found


def _switches(
    rack: Rack, devices: Mapping[str, Device], writes: Mapping[str, str]
) -> dict[str, Limits]:
    found = {}
    for ats in rack.ats:
        device = devices.get(ats.id)
        if device is None:
            raise ConfigError(f"[[ats]] {ats.id}: no [[device]] has this id; known: {[*devices]}")
        what = f"{device.profile} {writes.get(device.profile, '')}"
        supplies = rack.agent.supplies
        found[ats.id] = Limits(**asdict(ats), supplies=supplies, lab=device.lab, device=what)
    return found


def _upses(rack: Rack, devices: Mapping[str, Device]) -> dict[str, dict[str, str]]:
    """ATS -> source -> the UPS before it; a source without one is not there."""
    found: dict[str, dict[str, str]] = {}
    for ats in rack.ats:
        for source, ups in (("A", ats.ups_a), ("B", ats.ups_b)):
            if ups in ("", NO_UPS):
                continue
            if ups not in devices:
                raise ConfigError(
                    f"[[ats]] {ats.id}: ups_{source.lower()} '{ups}' is no [[device]] of this rack;"
                    f" give its id, or '{NO_UPS}'"
                )
            found.setdefault(ats.id, {})[source] = ups
    return found


def _inputs(rack: Rack, devices: Mapping[str, Device]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for device in rack.device:
        if not device.role:
            continue
        if device.role not in _ROLES or device.ats not in devices:
            raise ConfigError(
                f"device {device.id}: role '{device.role}' of ats '{device.ats}' is unknown;"
                f" give one of {', '.join(_ROLES)} and the id of a transfer switch"
            )
        found.setdefault(device.ats, {})[_ROLES[device.role]] = device.id
    for ats in rack.ats:
        lacking = [s for s in SOURCES if s not in found.get(ats.id, {})]
        if lacking:
            raise ConfigError(
                f"[[ats]] {ats.id}: no meter on input {', '.join(lacking)}; add [[device]] with"
                f' ats = "{ats.id}" and role = "source_a" or "source_b", or remove the entry'
            )
    return found
