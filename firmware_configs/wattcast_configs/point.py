"""One quantity of a device family: where it stands and what it means."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wattcast_core.errors import ConfigError
from wattcast_core.modbus.registers import WORD_ORDERS, width
from wattcast_core.points import QUANTITIES, STATES, words_of

CERTAINTIES = ("A", "B", "C")
_OID = re.compile(r"1(\.(\d+|\{i\}))+")


@dataclass(frozen=True, slots=True)
class Point:
    """One reading: value = scale * raw + offset, or the word map[raw] where it is a state.

    A Modbus point has an address and a type, an SNMP point an OID.

    Attributes:
        quantity: its name (see ``wattcast_core.points``): ``outlet.7.power_w``; in a repeat
            without the part: ``power_w``.
        minimum: lowest believable value (after scaling); outside is invalid.
        maximum: highest believable value (after scaling).
        address: first register, 0-based as on the wire.
        type: u16 i16 u32 i32 u64 i64 f32 f64.
        oid: the object, dotted; in a repeat ``{i}`` stands for the row.
        digits_from: OID of the number of decimal digits: value = raw / 10^digits.
        celsius_from: OID that says which scale a temperature is given in; a device that says
            neither ``celsius_is`` nor ``fahrenheit_is`` has no temperature.
        invalid: raw values by which the device says "not available".
        map: raw value (as text) -> word of the state; any other raw value is invalid.
        alarm: word of the state -> what is wrong with the device then, for an operator.
        function: 0 = the transport's.
        word_order: empty = the transport's.
        certainty: A, B or C of the register facts; empty = the profile's.
    """

    quantity: str
    minimum: float = -math.inf
    maximum: float = math.inf
    address: int = -1
    type: str = ""
    oid: str = ""
    scale: float = 1.0
    offset: float = 0.0
    digits_from: str = ""
    celsius_from: str = ""
    celsius_is: int = 0
    fahrenheit_is: int = -1
    invalid: tuple[int, ...] = ()
    map: Mapping[str, str] = field(default_factory=dict)
    alarm: Mapping[str, str] = field(default_factory=dict)
    function: int = 0
    word_order: str = ""
    certainty: str = ""

    def __post_init__(self) -> None:
        place = f"point {self.quantity}"
        known(self.quantity.rpartition(".")[2], (*QUANTITIES, *STATES), "point.quantity")
        self._check_words(place)
        known(self.function, (0, 3, 4), f"{place}.function")
        known(self.word_order, ("", *WORD_ORDERS), f"{place}.word_order")
        known(self.certainty, ("", *CERTAINTIES), f"{place}.certainty")
        if not self.minimum < self.maximum or self.scale == 0:
            raise ConfigError(f"{place}: minimum must be below maximum, scale not 0")
        if self.oid:
            for oid in (self.oid, self.digits_from, self.celsius_from):
                check_oid(oid or self.oid, place)
        else:
            self._check_register(place)

    def _check_words(self, place: str) -> None:
        words = words_of(self.quantity)
        if bool(words) != bool(self.map):
            raise ConfigError(f"{place}: a state needs a map of raw values to words, others none")
        for word in (*self.map.values(), *self.alarm):
            known(word, words, f"{place}.map")

    def _check_register(self, place: str) -> None:
        if not self.type:
            raise ConfigError(f"{place}: key 'type' is missing; give address and type, or an oid")
        if self.type.startswith("str"):
            raise ConfigError(f"{place}.type: text is no quantity; use a number type")
        if self.address < 0 or self.address + width(self.type) > 0x10000:
            raise ConfigError(f"{place}.address: {self.address} lies outside 0..65535")


@dataclass(frozen=True, slots=True)
class Repeat:
    """Points that come once a row of an SNMP table; the rows are read from the device at start.

    Attributes:
        name: of the part, e.g. ``outlet.{n}`` or ``inlet.{g}.L{l}``. ``{l}`` is the last number of
            the row, ``{g}`` the count of the group of rows that share all the others, ``{n}`` is
            ``{l}`` if that is unique, else the count of the row.
        index: column that has exactly the rows wanted.
        depth: numbers of a row that make the part, 0 = all (tables with a row a part and kind).
        only: rows whose index column has one of these values; empty = all.
        most: more rows than that are not read.
        point: as in the profile; ``{i}`` in an OID stands for the row.
    """

    name: str
    index: str
    point: tuple[Point, ...]
    depth: int = 0
    only: tuple[int, ...] = ()
    most: int = 128

    def __post_init__(self) -> None:
        check_oid(self.index, f"repeat {self.name}.index")
        if not re.search(r"\{[nl]\}", self.name):
            raise ConfigError(f"repeat {self.name}: the name needs '{{n}}' or '{{l}}'")
        for point in self.point:
            if "{i}" not in point.oid:
                raise ConfigError(f"repeat {self.name}: {point.quantity}.oid needs '{{i}}'")


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
