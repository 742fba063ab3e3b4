"""What may be written to a device: named commands, and nothing else.

Connections write what a ``Command`` gives them, never a place and a value of a caller's choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from wattcast_configs.place import Certainty, check_oid, known
from wattcast_core.errors import ConfigError, Refused


@dataclass(frozen=True, slots=True)
class Around:
    """A register that must hold a value while a command is carried out.

    Attributes:
        value: written before the command.
        restore: written after it, whatever became of it.
    """

    address: int
    value: int
    restore: int


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """One register of a named command; ``Command`` makes them."""

    function: int
    address: int
    value: int


@dataclass(frozen=True, slots=True)
class Command:
    """A named write.

    Attributes:
        values: argument -> raw value, e.g. {A = 1, B = 2}; not with ``row_of``.
        row_of: arguments A and B are the first and second row of this index (see ``Repeat``).
        verify: name of the reading that must follow.
        deadline_real_s: wait for ``verify`` that long.
        certainty: A, B or C of the facts; C is for the lab only.
        idempotent: true if repeating it does no harm; a toggle is not, and is never repeated.
        dwell_real_s: least time between two different ones that the device itself needs.
        requires: readings that must be good and be this word right before the write, or the
            command is refused; ``good`` = any word. ``{argument}`` stands for the argument.
            A reading that the device does not offer is refused by that name.
        address: Modbus: register; ``function`` 6 or 16 writes it.
        around: Modbus: registers to set before and to restore after.
        oid: SNMP: object.
        variable: NUT: variable.
        path: Redfish: property.
        read_back: SNMP: object that must show the value after the write; empty = ``oid`` itself.
    """

    name: str
    verify: str
    deadline_real_s: float
    certainty: Certainty
    idempotent: bool
    values: Mapping[str, int | str] = field(default_factory=dict)
    row_of: str = ""
    dwell_real_s: float = 0.0
    requires: Mapping[str, str] = field(default_factory=dict)
    address: int = -1
    function: Literal[6, 16] = 6
    around: tuple[Around, ...] = ()
    oid: str = ""
    variable: str = ""
    path: str = ""
    read_back: str = ""

    def __post_init__(self) -> None:
        place = f"command {self.name}"
        known(self.certainty, [c for c in get_args(Certainty) if c], f"{place}.certainty")
        known(self.function, (6, 16), f"{place}.function")
        for oid in filter(None, (self.oid, self.read_back)):
            check_oid(oid, f"{place}.oid")
        if not self.key and not 0 <= self.address <= 0xFFFF:
            raise ConfigError(f"{place}: give an address 0..65535, an oid, a variable or a path")
        if bool(self.values) == bool(self.row_of):
            raise ConfigError(f"{place}.values: give at least one value, or row_of")
        for argument, value in self.values.items():
            if not self.key and not (isinstance(value, int) and 0 <= value <= 0xFFFF):
                raise ConfigError(f"{place}.values.{argument}: {value} is no register")

    def raw(self, argument: str) -> int | str:
        """Raw value of an argument.

        Raises:
            Refused: the command has no such argument.
        """
        if argument not in self.values:
            known = ", ".join(self.values) or "nothing: the device was not read yet"
            raise Refused(f"{self.name} takes {known}, not '{argument}'")
        return self.values[argument]

    def registers(self, argument: str) -> tuple[RegisterWrite, ...]:
        """Modbus: what is written, in this order, to carry the command out."""
        before = (RegisterWrite(6, a.address, a.value) for a in self.around)
        return (*before, RegisterWrite(self.function, self.address, int(self.raw(argument))))

    def restores(self) -> tuple[RegisterWrite, ...]:
        """Modbus: what is written afterwards, whatever became of it."""
        return tuple(RegisterWrite(6, a.address, a.restore) for a in reversed(self.around))

    @property
    def key(self) -> str:
        """Name of what is written at its protocol; empty for Modbus."""
        return self.oid or self.variable or self.path
