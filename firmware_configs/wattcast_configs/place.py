"""Where a raw value of a device stands, whatever the protocol."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from wattcast_core.errors import ConfigError
from wattcast_core.modbus.registers import width

Certainty = Literal["", "A", "B", "C"]
Protocol = Literal["modbus", "snmp", "nut", "redfish", "bacnet"]
WordOrder = Literal["", "big", "little"]
PROTOCOLS = get_args(Protocol)
_OID = re.compile(r"1(\.(\d+|\{i\}|\{p\}))+")
_OBJECT = re.compile(r"[a-z-]+,\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Exactly one of address, oid, variable, path and object says where.

    Attributes:
        address: Modbus: first register, 0-based as on the wire.
        type: Modbus: u16 i16 u32 i32 u64 i64 f32 f64, or str<n>: text in n registers.
        function: Modbus: 3 or 4; 0 = the transport's.
        word_order: Modbus: ``big`` = high word first; empty = the transport's.
        oid: SNMP: the object, dotted; in a repeat ``{i}`` stands for the row.
        variable: NUT: name of the variable.
        path: Redfish: properties and members from the device's resource on, ``/`` between them.
        object: BACnet: type and instance of the object, as in ``analog-value,12``.
    """

    address: int = -1
    type: str = ""
    function: Literal[0, 3, 4] = 0
    word_order: WordOrder = ""
    oid: str = ""
    variable: str = ""
    path: str = ""
    object: str = ""

    _KEYS: ClassVar[dict[str, str]] = {
        "snmp": "oid",
        "nut": "variable",
        "redfish": "path",
        "bacnet": "object",
    }

    @property
    def key(self) -> str:
        """Name of the value at its protocol; empty for Modbus."""
        return self.oid or self.variable or self.path or self.object

    @property
    def protocol(self) -> str:
        """Protocol the place is of."""
        return next((p for p, name in self._KEYS.items() if getattr(self, name)), "modbus")

    def check_place(self, place: str) -> None:
        """ConfigError unless it is one place, well written."""
        given = [name for name in self._KEYS.values() if getattr(self, name)]
        if len(given) + (self.address >= 0) > 1:
            raise ConfigError(f"{place}: give one of address, {', '.join(self._KEYS.values())}")
        known(self.function, (0, 3, 4), f"{place}.function")
        known(self.word_order, get_args(WordOrder), f"{place}.word_order")
        if self.oid:
            check_oid(self.oid, place)
        if self.object and not _OBJECT.fullmatch(self.object):
            raise ConfigError(f"{place}: '{self.object}' is no object; write e.g. analog-value,12")
        if not given:
            self._check_register(place)

    def _check_register(self, place: str) -> None:
        if not self.type:
            raise ConfigError(f"{place}: key 'type' is missing; give address and type, or an oid")
        try:
            end = self.address + width(self.type)
        except ValueError as error:
            raise ConfigError(f"{place}.type: {error}") from error
        if self.address < 0 or end > 0x10000:
            raise ConfigError(f"{place}.address: {self.address} lies outside 0..65535")


def check_oid(oid: str, place: str) -> None:
    """ConfigError unless it is a dotted OID."""
    if not _OID.fullmatch(oid):
        raise ConfigError(f"{place}: '{oid}' is no OID; write it as 1.3.6.1.4.1...")


def known(value: object, among: Iterable[object], place: str) -> None:
    """ConfigError with a suggestion unless the value is one of those."""
    options = tuple(among)
    if value in options:
        return
    close = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(map(str, options))}"
    raise ConfigError(f"{place}: '{value}' is unknown; {hint}")
