"""Which writes the profile and the rack file allow, whatever the protocol. Pure."""

from wattcast_configs.profile import Command, Profile
from wattcast_configs.rack import Device
from wattcast_core.errors import Refused


def named_value(device: Device, profile: Profile, name: str, argument: str) -> tuple[Command, int]:
    """A named command and the raw value of its argument.

    Raises:
        Refused: no such command or argument, or it was never proven on hardware.
    """
    command = profile.command_named(name)
    if command is None:
        raise Refused(f"{device.id}: profile {profile.name} has no command '{name}'")
    if argument not in command.values:
        known = ", ".join(command.values)
        raise Refused(f"{device.id}: {name} takes {known}, not '{argument}'")
    if (profile.lab_only or command.certainty == "C") and not device.lab:
        raise Refused(
            f"{device.id}: {command.name} of profile {profile.name} was never proven "
            "on hardware; on a bench device set lab = true in the rack file"
        )
    return command, command.values[argument]
