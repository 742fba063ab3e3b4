"""What a device profile can say: one device family as data, no logic. Loaded by ``profiles``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattcast_configs.point import CERTAINTIES, Point, Repeat, check_oid, known
from wattcast_core.errors import ConfigError
from wattcast_core.modbus.registers import WORD_ORDERS

__all__ = ["Command", "Point", "Probe", "Profile", "Repeat", "Transport", "Vector"]

KINDS = ("pdu", "meter", "ats", "sensor", "ups")
PROTOCOLS = ("modbus", "snmp")


@dataclass(frozen=True, slots=True)
class Transport:
    """How the device wants to be asked.

    Attributes:
        function: 3 (holding) or 4 (input registers) unless a point says otherwise; 0 for SNMP.
        max_registers: most registers the device answers at once.
        max_gap: most undefined registers a block may read across.
        pause_real_s: quiet time after each request (slow RTU gateways).
        timeout_real_s: wait for one answer.
        word_order: ``big`` = high word first, ``little`` = low word first.
        max_oids: most objects asked for in one SNMP request.
        single_client: true if the device serves one connection only: it is closed after use.
        wake_real_s: how long a sleeping device takes to wake up; the first request is lost then.
    """

    function: int = 0
    max_registers: int = 125
    max_gap: int = 0
    pause_real_s: float = 0.0
    timeout_real_s: float = 0.5
    word_order: str = "big"
    max_oids: int = 24
    single_client: bool = False
    wake_real_s: float = 0.0

    def __post_init__(self) -> None:
        known(self.function, (0, 3, 4), "transport.function")
        known(self.word_order, WORD_ORDERS, "transport.word_order")
        if not 1 <= self.max_registers <= 125 or self.max_gap < 0:
            raise ConfigError("transport: max_registers must be 1..125 and max_gap at least 0")
        if not 1 <= self.max_oids <= 100:
            raise ConfigError("transport: max_oids must be 1..100")


@dataclass(frozen=True, slots=True)
class Command:
    """A named write; nothing else can be written.

    Attributes:
        address: register of a Modbus command.
        oid: object of an SNMP command.
        read_back: OID that must show the value after the write; empty = ``oid`` itself.
        values: argument -> raw value, e.g. {A = 1, B = 2}.
        verify: quantity that must follow.
        deadline_real_s: wait for ``verify`` that long.
        idempotent: true if repeating it does no harm; a toggle is not.
    """

    name: str
    values: Mapping[str, int]
    verify: str
    deadline_real_s: float
    certainty: str
    idempotent: bool
    address: int = -1
    function: int = 6
    oid: str = ""
    read_back: str = ""

    def __post_init__(self) -> None:
        known(self.certainty, CERTAINTIES, f"command {self.name}.certainty")
        known(self.function, (6, 16), f"command {self.name}.function")
        if self.oid:
            check_oid(self.oid, f"command {self.name}.oid")
            check_oid(self.read_back or self.oid, f"command {self.name}.read_back")
        elif not 0 <= self.address <= 0xFFFF:
            raise ConfigError(f"command {self.name}: give an address 0..65535, or an oid")
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
class Probe:
    """How an SNMP device of this family is known; any other is refused.

    Attributes:
        oid: the object looked at.
        begins: what its text may begin with.
    """

    oid: str
    begins: tuple[str, ...]

    def __post_init__(self) -> None:
        check_oid(self.oid, "probe.oid")


@dataclass(frozen=True, slots=True)
class Profile:
    """A device family.

    Invariants: quantities are unique; each command verifies a point of the profile.

    Attributes:
        kind: ``pdu``, ``meter``, ``ats``, ``sensor`` or ``ups``.
        certainty: A maker's schema or recording, B maker's page or working driver, C weaker.
        sources: where the facts stand.
        protocol: ``modbus`` or ``snmp``.
        repeat: points that come once an outlet, phase, ... as the device says (SNMP).
        acts_on: quantities whose quality decides the device's; empty = all. One of a repeat is
            named by its template: ``inlet.{n}.power_w``.
        freeze_after: identical polls under load after which a reading is stale; 0 = never.
        lab_only: commands are allowed only where the rack file says ``lab = true``.
        name: the file's name.
    """

    vendor: str
    models: tuple[str, ...]
    kind: str
    certainty: str
    sources: tuple[str, ...]
    transport: Transport = field(default_factory=Transport)
    point: tuple[Point, ...] = ()
    vector: tuple[Vector, ...] = ()
    protocol: str = "modbus"
    repeat: tuple[Repeat, ...] = ()
    probe: Probe | None = None
    acts_on: tuple[str, ...] = ()
    command: tuple[Command, ...] = ()
    freeze_after: int = 0
    lab_only: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        known(self.kind, KINDS, "kind")
        known(self.certainty, CERTAINTIES, "certainty")
        quantities = [p.quantity for p in self.point]
        if len(set(quantities)) != len(quantities):
            raise ConfigError("point: a quantity is given twice; name each once")
        templates = [f"{r.name}.{p.quantity}" for r in self.repeat for p in r.point]
        for quantity in self.acts_on:
            known(quantity, (*quantities, *templates), "acts_on")
        for command in self.command:
            known(command.verify, quantities, f"command {command.name}.verify")
        self._check_protocol()

    def _check_protocol(self) -> None:
        known(self.protocol, PROTOCOLS, "protocol")
        if self.protocol == "modbus" and not self.transport.function:
            raise ConfigError("transport: key 'function' is missing; add 3 or 4")
        oids = [p.oid for p in self.point] + [c.oid for c in self.command]
        if any(bool(oid) != (self.protocol == "snmp") for oid in oids):
            raise ConfigError(f"protocol is {self.protocol}: an oid is for SNMP only, and needed")

    def function_of(self, point: Point) -> int:
        """Function code that reads a point."""
        return point.function or self.transport.function

    def command_named(self, name: str) -> Command | None:
        """The command of that name; None if the profile has none."""
        return next((c for c in self.command if c.name == name), None)
