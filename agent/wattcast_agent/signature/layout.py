"""Whose readings belong to which server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattcast_core.points import INLET_POWER_W
from wattcast_core.signature import Tags


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A server of the rack: how many cords it has, and its tags."""

    id: str
    cords: int
    tags: Tags = field(default_factory=Tags)


@dataclass(frozen=True, slots=True)
class Layout:
    """The rack as the signature sees it.

    Attributes:
        hosts: servers, in the order their signatures are given.
        cords: (device, name of the reading) -> (server, index of the cord whose power it is).
        inlets: rack PDU -> the meters behind its inlet (all of them, or the sum means nothing).
    """

    hosts: tuple[HostSpec, ...]
    cords: Mapping[tuple[str, str], tuple[str, int]]
    inlets: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def silent(self) -> frozenset[str]:
        """Hosts and meters of one cord: beyond the cord's power no raw sample of them is sent."""
        meters = {device for device, reading in self.cords if reading == INLET_POWER_W}
        return frozenset(meters | {host.id for host in self.hosts})
