"""Trip curves as data: how long a device bears an overload, each with its source."""

from dataclasses import dataclass

from wattcast_core.errors import ConfigError

KINDS = ("thermal", "line", "table")
MODES = ("", "line", "battery", "bypass")
AFTER = ("open", "bypass", "off")
_ANY_C = 1000.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A curve under given circumstances.

    Attributes:
        points: (load over rating, seconds) with rising loads and falling times: the earliest that
            the device may trip. Below the first load it never does.
        mode: ``line``, ``battery`` or ``bypass`` of a UPS; empty for any.
        ambient_to_c: highest air temperature for which it holds.
        then: what a trip leads to, if not what the curve says.
        latest: by when it has tripped, where the source says so; for people only.
    """

    points: tuple[tuple[float, float], ...]
    mode: str = ""
    ambient_to_c: float = _ANY_C
    then: str = ""
    latest: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """A device's overload times.

    Attributes:
        kind: ``thermal`` (between the points linear in the logarithm of both, and sooner after
            earlier load), ``line`` (the same without memory) or ``table`` (a time holds from its
            load up to the next).
        then: what a trip leads to: ``open``, ``bypass`` (the static bypass of a UPS) or ``off``.
        source: document and place of every figure.
        name: of the file.
    """

    kind: str
    then: str
    source: str
    variant: tuple[Variant, ...]
    name: str = ""

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, KINDS)
        _one_of("then", self.then, AFTER)
        if not self.source:
            raise ConfigError("source is empty; say which document gives these figures")
        for variant in self.variant:
            _one_of("mode", variant.mode, MODES)
            _one_of("then", variant.then or self.then, AFTER)
            loads, times = zip(*variant.points, strict=True)
            if list(loads) != sorted(set(loads)) or list(times) != sorted(times, reverse=True):
                raise ConfigError("points: loads must rise and times must not")

    @property
    def knows_ambient(self) -> bool:
        """Whether its figures depend on air temperature."""
        return any(v.ambient_to_c < _ANY_C for v in self.variant)

    def at(self, mode: str, ambient_c: float) -> Variant | None:
        """The variant for a mode and an air temperature; None if the source has none."""
        fitting = [v for v in self.variant if v.mode in ("", mode) and v.ambient_to_c >= ambient_c]
        return min(fitting, key=lambda v: v.ambient_to_c, default=None)


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{key}: '{value}' is unknown; one of {', '.join(k for k in known if k)}")
