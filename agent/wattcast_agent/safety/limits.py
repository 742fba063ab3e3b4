"""What a transfer switch was commissioned for."""

from dataclasses import dataclass

SOURCES = ("A", "B")
CONFIRM, CONFIRM_OF = 2, 3  # k of n: readings that must agree before anything is written


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one switch: the rack file's ``[[ats]]`` entry and the ``lab`` mark of its device.

    Attributes:
        rating_a: smallest of the switch's and the weakest breaker's rating on either path.
        hold_up_ms: known hold-up of the loads behind it; 0 = not known.
        dwell_s: least data time between two transfers.
        max_per_hour: cap of transfers a data hour.
        deadline_real_s: real seconds to wait for the active source to follow.
        return_s: data seconds after which a self-return would have shown.
        phase_max_deg: 180 or more on a switch rated to transfer out of phase.
    """

    id: str
    rating_a: float
    commissioned: bool
    hold_up_ms: float
    transfer_ms: float
    dwell_s: float
    max_per_hour: int
    deadline_real_s: float
    return_s: float
    voltage_min_v: float
    voltage_max_v: float
    frequency_min_hz: float
    frequency_max_hz: float
    phase_max_deg: float
    lab: bool = False

    def alive(self, voltage_v: float, frequency_hz: float) -> bool:
        """Whether a source is within the voltage and frequency window."""
        return (
            self.voltage_min_v <= voltage_v <= self.voltage_max_v
            and self.frequency_min_hz <= frequency_hz <= self.frequency_max_hz
        )
