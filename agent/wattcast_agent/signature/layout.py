"""Whose readings belong to which server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        cords: cord meter -> (server, index of the cord).
        inlets: rack PDU -> the meters behind its inlet (all of them, or the sum means nothing).
    """

    hosts: tuple[HostSpec, ...]
    cords: Mapping[str, tuple[str, int]]
    inlets: Mapping[str, frozenset[str]] = field(default_factory=dict)
