"""Which writes the profile and the rack file allow, whatever the protocol. Pure."""

from collections.abc import Mapping

from wattcast_agent.devices.decode import Reading
from wattcast_configs.profile import Command, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import Refused
from wattcast_core.points import words_of
from wattcast_core.samples import Quality

ANY = "good"


def named(device: Device, profile: Profile, name: str, argument: str) -> Command:
    """A named command that may be carried out with this argument.

    Raises:
        Refused: no such command or argument, or it was never proven on hardware.
    """
    command = profile.command_named(name)
    if command is None:
        raise Refused(f"{device.id}: profile {profile.name} has no command '{name}'")
    command.raw(argument)
    if (profile.lab_only or command.certainty == "C") and not device.lab:
        raise Refused(
            f"{device.id}: {command.name} of profile {profile.name} was never proven "
            "on hardware; on a bench device set lab = true in the rack file"
        )
    return command


class Dwell:
    """Keeps two different commands to a device apart for as long as it needs."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}  # command -> argument, monotonic seconds

    def check(self, command: Command, argument: str, at_s: float) -> None:
        """Refuse a command that comes too early; the same one again does no harm.

        Raises:
            Refused: the text says how long to wait.
        """
        last, since_s = self._last.get(command.name, (argument, 0.0))
        wait_s = since_s + command.dwell_real_s - at_s
        if last != argument and wait_s > 0:
            raise Refused(f"{command.name} {last} was written lately; wait {wait_s:.0f} s")

    def note(self, command: Command, argument: str, at_s: float) -> None:
        """A command is about to be written."""
        self._last[command.name] = (argument, at_s)


def unmet(command: Command, argument: str, readings: Mapping[str, Reading]) -> str:
    """Why the device is not in the state that the command requires; empty if it is."""
    for template, wanted in command.requires.items():
        name = template.replace("{argument}", argument)
        reading = readings.get(name)
        if reading is None:
            return f"this device does not offer {name}, which the command rests on"
        if reading.quality is not Quality.GOOD:
            return f"{name} is {reading.quality}"
        word = words_of(name)[int(reading.value)] if words_of(name) else ANY
        if wanted not in (ANY, word):
            return f"{name} is '{word}', not '{wanted}'"
    return ""
