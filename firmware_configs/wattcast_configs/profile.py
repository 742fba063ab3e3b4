"""What a device profile can say: one device family as data, no logic. Loaded by ``profiles``."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wattcast_core.errors import ConfigError
from wattcast_core.modbus.registers import WORD_ORDERS, width

KINDS = ("pdu", "meter", "ats", "sensor")
CERTAINTIES = ("A", "B", "C")
QUANTITIES = (
    *("power_w", "power_l1_w", "power_l2_w", "power_l3_w", "apparent_power_va", "power_factor"),
    *("voltage_v", "voltage_l2_v", "voltage_l3_v", "current_a", "current_l2_a", "current_l3_a"),
    *("frequency_hz", "energy_wh", "energy_export_wh", "phase_angle_deg"),
    *("temperature_c", "humidity_pct", "dew_point_c"),
    *("active_source", "preferred_source", "source_1_available", "source_2_available"),
)


@dataclass(frozen=True, slots=True)
class Transport:
    """How the device wants to be asked.

    Attributes:
        function: 3 (holding) or 4 (input registers) unless a point says otherwise.
        max_registers: most registers the device answers at once.
        max_gap: most undefined registers a block may read across.
        pause_real_s: quiet time after each request (slow RTU gateways).
        timeout_real_s: wait for one answer.
        word_order: ``big`` = high word first, ``little`` = low word first.
    """

    function: int
    max_registers: int = 125
    max_gap: int = 0
    pause_real_s: float = 0.0
    timeout_real_s: float = 0.5
    word_order: str = "big"

    def __post_init__(self) -> None:
        _known(self.function, (3, 4), "transport.function")
        _known(self.word_order, WORD_ORDERS, "transport.word_order")
        if not 1 <= self.max_registers <= 125 or self.max_gap < 0:
            raise ConfigError("transport: max_registers must be 1..125 and max_gap at least 0")


@dataclass(frozen=True, slots=True)
class Point:
    """One quantity in registers: value = scale * raw, or map[raw] where a map is given.

    Attributes:
        quantity: canonical name with unit (QUANTITIES).
        address: first register, 0-based as on the wire.
        type: u16 i16 u32 i32 u64 i64 f32 f64.
        minimum: lowest believable value (after scaling); outside is invalid.
        maximum: highest believable value (after scaling).
        invalid: raw values by which the device says "not available".
        map: raw value (as text) -> value, for states; any other raw value is invalid.
        function: 0 = the transport's.
        word_order: empty = the transport's.
        certainty: A, B or C of the register facts; empty = the profile's.
    """

    quantity: str
    address: int
    type: str
    minimum: float
    maximum: float
    scale: float = 1.0
    invalid: tuple[int, ...] = ()
    map: Mapping[str, float] = field(default_factory=dict)
    function: int = 0
    word_order: str = ""
    certainty: str = ""

    def __post_init__(self) -> None:
        place = f"point {self.quantity}"
        _known(self.quantity, QUANTITIES, "point.quantity")
        _known(self.function, (0, 3, 4), f"{place}.function")
        _known(self.word_order, ("", *WORD_ORDERS), f"{place}.word_order")
        _known(self.certainty, ("", *CERTAINTIES), f"{place}.certainty")
        if self.type.startswith("str"):
            raise ConfigError(f"{place}.type: text is no quantity; use a number type")
        if self.address < 0 or self.address + width(self.type) > 0x10000:
            raise ConfigError(f"{place}.address: {self.address} lies outside 0..65535")
        if not self.minimum < self.maximum or self.scale == 0:
            raise ConfigError(f"{place}: minimum must be below maximum, scale not 0")


@dataclass(frozen=True, slots=True)
class Command:
    """A named write; nothing else can be written.

    Attributes:
        values: argument -> register value, e.g. {A = 1, B = 2}.
        verify: quantity that must follow.
        deadline_real_s: wait for ``verify`` that long.
        idempotent: true if repeating it does no harm; a toggle is not.
    """

    name: str
    address: int
    values: Mapping[str, int]
    verify: str
    deadline_real_s: float
    certainty: str
    idempotent: bool
    function: int = 6

    def __post_init__(self) -> None:
        _known(self.certainty, CERTAINTIES, f"command {self.name}.certainty")
        _known(self.function, (6, 16), f"command {self.name}.function")
        if not self.values:
            raise ConfigError(f"command {self.name}.values: give at least one value")
        for argument, value in self.values.items():
            if not 0 <= value <= 0xFFFF:
                raise ConfigError(f"command {self.name}.values.{argument}: {value} is no register")


@dataclass(frozen=True, slots=True)
class Vector:
    """A test vector: registers (first address -> words) and what they mean.

    Attributes:
        values: quantities that must decode as good, with their values.
        invalid: quantities that must decode as invalid.
    """

    note: str
    registers: Mapping[str, tuple[int, ...]]
    values: Mapping[str, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """A device family.

    Invariants: quantities are unique; each command verifies a point of the profile.

    Attributes:
        kind: ``pdu``, ``meter``, ``ats`` or ``sensor``.
        certainty: A maker's schema or recording, B maker's page or working driver, C weaker.
        sources: where the facts stand.
        acts_on: quantities whose quality decides the device's; empty = all.
        freeze_after: identical polls under load after which a reading is stale; 0 = never.
        lab_only: commands are allowed only where the rack file says ``lab = true``.
        name: the file's name.
    """

    vendor: str
    models: tuple[str, ...]
    kind: str
    certainty: str
    sources: tuple[str, ...]
    transport: Transport
    point: tuple[Point, ...]
    vector: tuple[Vector, ...]
    acts_on: tuple[str, ...] = ()
    command: tuple[Command, ...] = ()
    freeze_after: int = 0
    lab_only: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        _known(self.kind, KINDS, "kind")
        _known(self.certainty, CERTAINTIES, "certainty")
        quantities = [p.quantity for p in self.point]
        if len(set(quantities)) != len(quantities):
            raise ConfigError("point: a quantity is given twice; name each once")
        for quantity in self.acts_on:
            _known(quantity, quantities, "acts_on")
        for command in self.command:
            _known(command.verify, quantities, f"command {command.name}.verify")

    def function_of(self, point: Point) -> int:
        """Function code that reads a point."""
        return point.function or self.transport.function

    def command_named(self, name: str) -> Command | None:
        """The command of that name; None if the profile has none."""
        return next((c for c in self.command if c.name == name), None)


def _known(value: object, known: Iterable[object], place: str) -> None:
    options = tuple(known)
    if value in options:
        return
    close = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(map(str, options))}"
    raise ConfigError(f"{place}: '{value}' is unknown; {hint}")
