"""How a device of a family is known; any other is refused."""

import math
from dataclasses import dataclass

from wattcast_configs.place import Place
from wattcast_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Check(Place):
    """One thing that is so on every device of the family.

    Attributes:
        oid: SNMP: the object, or a table's column, of which the first row is looked at.
        begins: what its text may begin with; an OID fits with all below it.
        excludes: what its text, if there is one, must not begin with.
        minimum: lowest value of a number.
        maximum: highest value; 0 and not-a-number say nothing, for a meter may be without voltage.
        absent: the family does not have it.
    """

    begins: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    absent: bool = False

    def __post_init__(self) -> None:
        self.check_place("probe")
        if not self.minimum < self.maximum:
            raise ConfigError("probe: minimum must be below maximum")

    @property
    def is_range(self) -> bool:
        """Whether a number is judged."""
        return math.isfinite(self.minimum) or math.isfinite(self.maximum)
