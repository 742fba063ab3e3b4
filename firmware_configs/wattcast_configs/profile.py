"""What a device profile can say: one device family as data, no logic. Loaded by ``profiles``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from wattcast_configs.command import Around, Command
from wattcast_configs.place import PROTOCOLS, Certainty, Protocol, known
from wattcast_configs.point import Point, Repeat
from wattcast_configs.probe import Check
from wattcast_core.errors import ConfigError
from wattcast_core.modbus.registers import WORD_ORDERS
from wattcast_core.points import QUANTITIES, STATES, words_of

__all__ = ["Around", "Check", "Command", "Point", "Profile", "Repeat", "Transport", "Vector"]

Kind = Literal["pdu", "meter", "ats", "sensor", "ups", "server"]


@dataclass(frozen=True, slots=True)
class Transport:
    """How the device wants to be asked.

    Attributes:
        function: 3 (holding) or 4 (input registers) unless a point says otherwise; Modbus only.
        max_registers: most registers the device answers at once.
        max_gap: most undefined registers a block may read across.
        pause_real_s: quiet time after each request (slow RTU gateways).
        timeout_real_s: wait for one answer.
        wake_real_s: a device that sleeps loses the first request; wait so long and ask again.
        single_client: it serves one connection at a time: let go of it after each poll.
        word_order: ``big`` = high word first, ``little`` = low word first.
        max_oids: most objects asked for in one SNMP request.
    """

    function: Literal[0, 3, 4] = 0
    max_registers: int = 125
    max_gap: int = 0
    pause_real_s: float = 0.0
    timeout_real_s: float = 0.5
    wake_real_s: float = 0.0
    single_client: bool = False
    word_order: Literal["big", "little"] = "big"
    max_oids: int = 24

    def __post_init__(self) -> None:
        known(self.function, (0, 3, 4), "transport.function")
        known(self.word_order, WORD_ORDERS, "transport.word_order")
        if not 1 <= self.max_registers <= 125 or self.max_gap < 0:
            raise ConfigError("transport: max_registers must be 1..125 and max_gap at least 0")
        if not 1 <= self.max_oids <= 100:
            raise ConfigError("transport: max_oids must be 1..100")


@dataclass(frozen=True, slots=True)
class Vector:
    """A test vector: registers (first address -> words) or objects, and what they mean.

    Attributes:
        registers: Modbus: first address -> words.
        objects: any other protocol: key -> raw value.
        values: readings that must decode as good, with their values.
        invalid: readings that must decode as invalid.
    """

    note: str
    registers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    objects: Mapping[str, int | str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """A device family.

    Invariants: names of readings are unique; each command verifies a point of the profile.

    Attributes:
        kind: ``pdu``, ``meter``, ``ats``, ``sensor``, ``ups`` or ``server``.
        certainty: A maker's schema or recording, B maker's page or working driver, C weaker.
        sources: where the facts stand.
        repeat: points that come once an outlet, phase, ... as the device says.
        probe: what is so on every device of the family, all of it.
        generic: fits devices of many makers; taken only where no other profile fits.
        acts_on: readings whose quality decides the device's; empty = all. One of a repeat is
            named by its template: ``inlet.{n}.power_w``.
        highest: name -> readings whose highest it is.
        freeze_after: identical polls under load after which a reading is stale; 0 = never.
        lab_only: commands are allowed only where the rack file says ``lab = true``.
        name: the file's name.
    """

    vendor: str
    models: tuple[str, ...]
    kind: Kind
    certainty: Certainty
    sources: tuple[str, ...]
    transport: Transport = field(default_factory=Transport)
    point: tuple[Point, ...] = ()
    vector: tuple[Vector, ...] = ()
    protocol: Protocol = "modbus"
    repeat: tuple[Repeat, ...] = ()
    probe: tuple[Check, ...] = ()
    generic: bool = False
    acts_on: tuple[str, ...] = ()
    highest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    command: tuple[Command, ...] = ()
    freeze_after: int = 0
    lab_only: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        known(self.kind, get_args(Kind), "kind")
        known(self.certainty, [c for c in get_args(Certainty) if c], "certainty")
        known(self.protocol, PROTOCOLS, "protocol")
        quantities = [p.quantity for p in self.point]
        if len(set(quantities)) != len(quantities):
            raise ConfigError("point: a quantity is given twice; name each once")
        templates = [f"{r.name}.{p.quantity}" for r in self.repeat for p in r.point]
        for quantity in self.acts_on:
            known(quantity, (*quantities, *templates, *self.highest), "acts_on")
        for command in self.command:
            # A reading that a command rests on, but the family does not offer, refuses the command.
            offered = (*quantities, *command.requires)
            known(command.verify, (*offered, *templates), f"command {command.name}.verify")
            for name, word in command.requires.items():
                place = f"command {command.name}.requires.{name}"
                known(name.rpartition(".")[2], (*QUANTITIES, *STATES), place)
                known(word, ("good", *words_of(name)), place)
        self._check_protocol()

    def _check_protocol(self) -> None:
        if self.protocol == "modbus" and not self.transport.function:
            raise ConfigError("transport: key 'function' is missing; add 3 or 4")
        repeated = [p for r in self.repeat for p in r.point]
        for place in (*self.point, *repeated, *self.probe):
            if place.protocol != self.protocol:
                raise ConfigError(
                    f"protocol is {self.protocol}: {place.key or place.address} is of"
                    f" {place.protocol}; an oid is for SNMP only, an address for Modbus"
                )
        if any(bool(c.key) == (self.protocol == "modbus") for c in self.command):
            raise ConfigError(f"protocol is {self.protocol}: a command is of another protocol")

    def function_of(self, place: Point | Check) -> int:
        """Function code that reads a place."""
        return place.function or self.transport.function

    def command_named(self, name: str) -> Command | None:
        """The command of that name; None if the profile has none."""
        return next((c for c in self.command if c.name == name), None)
