"""One device in a technician's hands: identified, then read as often as wanted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from wattcast_agent.devices import compose, probe
from wattcast_agent.devices.compose import Answer, Parts
from wattcast_agent.devices.connect import Connections, Unit
from wattcast_agent.devices.decode import Raw
from wattcast_agent.devices.login import Login
from wattcast_configs.profile import Check, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import ConfigError, DataError, Unreachable
from wattcast_core.samples import missing

Tell = Callable[[str, Sequence[probe.Candidate]], None]  # what it says it is, profiles looked for
_ANSWERS = 3  # one answer may take this part of the whole time a technician gives
_SILENT = 2  # questions without any answer after which nobody is there


@dataclass(frozen=True)
class Session:
    """An identified device.

    Attributes:
        profile: its family, with repeats.
        says: what the device says of itself.
    """

    profile: Profile
    says: str
    unit: Unit
    connections: Connections

    async def read(self, now: datetime) -> Parts:
        """Samples and state of the device; a point of the family that it lacks is missing.

        Raises:
            Unreachable: no connection or no answer.
            DataError: it answers, but not as the profile says.
        """
        answer = Answer(await self.unit.read(), problem=self.unit.notes)
        samples, state = compose.device(
            self.unit.device.id, self.unit.profile, answer, now, stuck=False
        )
        there = {sample.quantity for sample in samples}
        lacking = [p.quantity for p in self.profile.point if p.quantity not in there]
        return samples + [missing(state.device, name, now) for name in lacking], state

    async def close(self) -> None:
        """Close the connection."""
        await self.connections.close()


async def open_session(
    device: Device,
    login: Login,
    profiles: Sequence[Profile],
    timeout_s: float,
    tell: Tell | None = None,
) -> Session:
    """Connect to a device and find out what it is.

    Args:
        device: its address.
        login: credentials.
        profiles: one to hold it to, or those of which one may fit.
        timeout_s: real seconds the technician gives; one answer may take a part of it.
        tell: told how each profile fits, where there is a choice.

    Raises:
        Unreachable: no connection, no answer, or the login is refused.
        ForeignDevice: it fits no profile; the text says what it is.
        Refused: it fits several.
    """
    able = [p for p in profiles if p.protocol == device.where.protocol]
    if not able:
        given = ", ".join(f"{p.name} is for {p.protocol}" for p in profiles)
        raise ConfigError(
            f"{device.where} is reached by {device.where.protocol}, but {given or 'no profile is'};"
            " `wattcast tech profiles` lists what is known"
        )
    connections = Connections(max(0.1, round(timeout_s / _ANSWERS, 1)))
    unit = connections.unit(device, able[0], login)
    try:
        profile = able[0] if len(able) == 1 else await _identify(unit, able, tell)
        unit = connections.unit(device, profile, login)
        return Session(profile, await unit.introduce(), unit, connections)
    except BaseException:
        await connections.close()
        raise


async def _identify(unit: Unit, profiles: Sequence[Profile], tell: Tell | None) -> Profile:
    one_by_one = profiles[0].protocol == "modbus"  # a register it lacks may silence a device
    seen = await (_look_one_by_one if one_by_one else _look_at_once)(unit, profiles)
    says = await unit.introduce()
    if tell is not None:
        tell(says, probe.candidates(profiles, seen))
    return probe.choose(profiles, seen, str(unit.device.where), says)


async def _look_at_once(unit: Unit, profiles: Sequence[Profile]) -> Mapping[str, probe.Seen]:
    checks = list(dict.fromkeys(check for p in profiles for check in p.probe))
    shown = await unit.look(profiles[0], checks)
    return {p.name: {check: shown[check] for check in p.probe} for p in profiles}


async def _look_one_by_one(unit: Unit, profiles: Sequence[Profile]) -> Mapping[str, probe.Seen]:
    seen: dict[str, probe.Seen] = {}
    silent = 0
    for profile in profiles:
        try:
            seen[profile.name] = await _look(unit, profile)
        except DataError:
            continue
        except Unreachable:  # some devices do not answer what they do not know
            silent += 1
            if not any(seen.values()) and silent == _SILENT:
                raise
    return seen


async def _look(unit: Unit, profile: Profile) -> probe.Seen:
    """What the checks see, up to the first that does not fit."""
    seen: dict[Check, Raw | None] = {}
    for check in profile.probe:
        seen |= await unit.look(profile, [check])
        if probe.judge(check, seen[check]) is not probe.Fit.FITS:
            break
    return seen
