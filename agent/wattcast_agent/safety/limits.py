"""What a transfer switch may be asked for: its entry in the rack file."""

import hashlib
import json
from dataclasses import asdict, dataclass

SOURCES = ("A", "B")
CONFIRM, CONFIRM_OF = 2, 3  # k of n: readings that must agree before anything is written


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one switch: the rack file's ``[[ats]]`` entry and the ``lab`` mark of its device.

    Attributes:
        rating_a: smallest of the switch's and the weakest breaker's rating on either path.
        trip_a: current at which the weakest of those breakers opens at once; 0 = five times its
            rating (IEC 60898 type C opens within 0.1 s at 5 to 10 times).
        inrush_factor: what the loads take in the moment of a transfer, of their current.
        hold_up_ms: known hold-up of the loads behind it; 0 = not known.
        dwell_s: least data time between two transfers.
        max_per_hour: cap of transfers a data hour.
        deadline_real_s: real seconds to wait for the active source to follow.
        return_s: data seconds after which a self-return would have shown.
        phase_max_deg: 180 or more on a switch rated to transfer out of phase.
        feed_a, feed_b: names of the feeds on its inputs: one switch at a time moves to a feed.
        ups_a, ups_b: device id of the UPS behind an input, ``none`` without one, empty = not told.
        tested: models and firmware that were tested: words of what a switch says of itself.
        supplies: what the agent and its path to the switch are fed by; empty = not told.
        lab: true on a bench device, which needs no commissioning.
        device: what else the rack file and the profile say of it; a change voids a commissioning.
    """

    id: str
    rating_a: float
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
    trip_a: float = 0.0
    inrush_factor: float = 3.0
    feed_a: str = "A"
    feed_b: str = "B"
    ups_a: str = ""
    ups_b: str = ""
    tested: tuple[str, ...] = ()
    supplies: tuple[str, ...] = ()
    lab: bool = False
    device: str = ""

    def alive(self, voltage_v: float, frequency_hz: float) -> bool:
        """Whether a source is within the voltage and frequency window."""
        return (
            self.voltage_min_v <= voltage_v <= self.voltage_max_v
            and self.frequency_min_hz <= frequency_hz <= self.frequency_max_hz
        )

    def feed(self, source: str) -> str:
        """Name of the feed on an input."""
        return self.feed_a if source == "A" else self.feed_b

    def ups(self, source: str) -> str:
        """What is told of the UPS behind an input."""
        return self.ups_a if source == "A" else self.ups_b

    @property
    def opens_at_a(self) -> float:
        """Current at which a breaker on the path opens at once."""
        return self.trip_a or 5.0 * self.rating_a

    @property
    def fingerprint(self) -> str:
        """Changes with anything in here."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
